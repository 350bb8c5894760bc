# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT

# Completion for fish: the command itself tells what a word may become.
function __cgctl_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l found ($words[1] complete -- $words[2..-1] "$word" 2>/dev/null)
    if test (count $found) -gt 0
        string join \n -- $found
    else
        __fish_complete_path "$word"
    end
end
complete -c cgctl -f -a '(__cgctl_complete)'
