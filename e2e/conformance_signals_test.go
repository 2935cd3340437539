//go:build linux

package e2e

// saw waits until a file named log has the words. It starts no job of its own: a
// shell with job control that waits for one mistakes another's stop for its end.
const saw = `set -m
saw() { until [[ $(<log) == *$1* ]]; do :; done; }
: > log
`

// signalsHandled sends each signal to a tool that takes it, the next when the
// last one has arrived, since two that are pending may come in any order.
const signalsHandled = saw + `python -c 'import signal
wanted = [signal.Signals["SIG" + n] for n in "HUP INT QUIT USR1 USR2 CONT TERM".split()]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("up", flush=True)
while (s := signal.sigwait(wanted)) != signal.SIGTERM: print(s.name, flush=True)
raise SystemExit(33)' > log &
saw up
for s in HUP INT QUIT USR1 USR2 CONT; do kill -$s $!; saw SIG$s; done
kill -TERM $!; wait $!; echo $? $(<log)`

// signalsFatal sends each signal to a tool that leaves it be.
const signalsFatal = saw + `
for s in HUP INT QUIT TERM USR1 USR2; do
  : > log
  python -c 'import signal,time; signal.signal(signal.SIGINT, signal.SIG_DFL); print("up", flush=True); time.sleep(600)' > log &
  saw up; kill -$s $!; wait $!; echo $s $?
done`

// stopped stops the caller of a tool and continues it. Somebody outside the
// tool's group, and not marked as one of the call, tells what became of the tool.
const stopped = saw + `cat > tool.py <<'end'
import subprocess,sys,time
watch = """import os,time
def wait(stopped):
  while (open(f"/proc/{os.getppid()}/stat").read().rsplit(")")[-1].split()[0] == "T") != stopped: time.sleep(0.01)
wait(True); print("stopped", flush=True)
wait(False); print("goes on", flush=True)"""
log = open("log", "a")
subprocess.Popen([sys.executable, "-c", watch], env={}, start_new_session=True, stdout=log)
print("up", file=log, flush=True); time.sleep(600)
end
python tool.py &
saw up; kill -TSTP $!; wait $!; echo $?; saw stopped
kill -CONT $!; saw "goes on"
kill -TERM $!; wait $!; echo $? $(<log)`
