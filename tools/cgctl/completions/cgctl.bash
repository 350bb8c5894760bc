# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT
# shellcheck shell=bash

# Completion for bash: the command itself tells what a word may become.
_cgctl() {
  local word cut one
  local -a words
  # bash splits words at ":" and "=", which cgroups and options have. Without -r, `read` takes
  # backslashes away.
  # shellcheck disable=SC2162
  IFS=$' \t' read -a words <<<"${COMP_LINE:0:COMP_POINT}"
  [[ ${COMP_LINE:0:COMP_POINT} != *[[:blank:]] ]] || words+=("")
  word=${words[-1]}
  cut=${word%"${word##*[=:]}"}
  COMPREPLY=()
  while IFS=$'\t' read -r one _; do
    [[ $one != */ ]] || compopt -o nospace
    COMPREPLY+=("$(printf %q "${one#"$cut"}")")
  done < <("${COMP_WORDS[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _cgctl cgctl
