cgctl [0-9]+\.[0-9]+\.[0-9]+ \([A-Za-z]+ [0-9.]+, [A-Za-z]+, (static|dynamic)\)
