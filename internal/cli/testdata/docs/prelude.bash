# What a line of the documents finds when a test runs it (../../doccommands_test.go): programs that
# are ours run, and those of others only look as if. The test says which those are.
#
#   REPOSITORY  the root of this repository
#   HOST_PATH   the PATH of the test
#   PRETENDED   programs that do nothing here
set -euo pipefail

# until_line ends a command that goes on until it is interrupted, when it has printed a line.
until_line() {
    exec {output}< <(exec "$@")
    read -r -u "$output"
    kill $!
    wait $! || (($? == 143))
}

aifo-coder() {
    case " $* " in
        # Other programs of this machine may use the ports.
        *' --publish '*) set -- --dry-run "$@" ;;
        # There is no terminal for panes, and the lines that follow want the clones.
        *' --fork '*) set -- --fork-runner plain --fork-merge-strategy none "$@" ;;
        *' network log --follow '*)
            until_line aifo-coder "$@"
            return
            ;;
    esac
    command aifo-coder "$@"
}

make() { PATH=$HOST_PATH command make --dry-run --directory "$REPOSITORY" "$@" >/dev/null; }

# knows wants that the usage of a script has its subcommand and its options.
knows() {
    local script=$1 usage word
    usage=$(PATH=$HOST_PATH "$REPOSITORY/$script" --help)
    for word in "$script $2" "${@:3}"; do
        if [[ $word == "$script"* || $word == --* ]] && [[ $usage != *"${word%%=*}"* ]]; then
            echo "$script --help does not have: $word" >&2
            return 2
        fi
    done
}

for script in "$REPOSITORY"/scripts/*; do
    script=scripts/${script##*/}
    if [[ -f $REPOSITORY/$script && -x $REPOSITORY/$script ]]; then eval "$script() { knows $script \"\$@\"; }"; fi
done

pretend() { if [[ -p /dev/stdin ]]; then while read -r; do :; done; fi; }
for program in $PRETENDED; do eval "$program() { pretend; }"; done

command_not_found_handle() {
    echo "$1 is neither ours nor in a list of internal/cli/doccommands_test.go: add it to ran, where it changes nothing" \
        "outside the test's directory, or to pretended; or, if the block is no commands, mark it as text" >&2
    return 127
}
