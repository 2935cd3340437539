# Runs in the agent's container, where tsc is a shim, and in the sidecar, where it
# is the file in node_modules/.bin. Prints one line for each sample: its name and
# its seconds.
sample() { # sample NAME COMMAND...
	local name=$1 begin=$EPOCHREALTIME end
	shift
	"$@" >/dev/null || exit 1
	end=$EPOCHREALTIME
	echo "$name $(((${end/./} - ${begin/./}))) us"
}
pipe() { big | wc -c; }
compile() { for i in $(seq 200); do $CC -c small.c -o "o/$i.o" || return 1; done; }

mkdir -p o
echo 'int f(int x) { return x + 1; }' >small.c
case $1 in
call) sample warm "$TSC"; for _ in $(seq "$2"); do sample call "$TSC"; done ;;
pipe) sample warm node --version; for _ in $(seq "$2"); do sample pipe pipe; done ;;
compile) sample warm $CC -c small.c -o o/0.o; for _ in $(seq "$2"); do sample compile compile; done ;;
esac
