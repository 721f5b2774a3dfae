"""Signals in a process of its own: what each is answered with, and how soon where compiled code is at work."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from bertkit.errors import BertkitError, Interrupted
from bertkit.signals import answered_meanwhile, held_back, stop_on_signals, stopped_cleanly

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_command_is_ended_in_one_line_and_the_innermost_block_says_how_to_go_on(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with stopped_cleanly(), stopped_cleanly("go on"), pytest.raises(Interrupted) as ending:
        signal.raise_signal(number)
    assert str(ending.value) == f"stopped by {name}: nothing half-made was kept; go on"
    assert ending.value.exit_code == 128 + number
    with stopped_cleanly(), pytest.raises(Interrupted, match="was kept$"):
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_what_expects_any_exception_does_not_take_the_ending():
    with stopped_cleanly(), pytest.raises(Interrupted), suppress(Exception):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("name", "ending"), [("SIGTERM", Interrupted), ("SIGINT", KeyboardInterrupt)])
def test_what_a_library_raises_on_its_way_out_is_the_same_ending(name, ending):
    with pytest.raises(ending), stopped_cleanly():
        left_by(getattr(signal, name), BertkitError("trying to pop from an empty stack"))
    with pytest.raises(SystemExit), stopped_cleanly():  # the library took it, and the command came to its end
        left_by(getattr(signal, name), SystemExit(0))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_is_held_back_is_said_at_once_and_raised_at_the_end_of_the_block(name, capsys):
    number, reached = getattr(signal, name), []

    def work() -> None:
        with held_back("finishing the graph …"):
            for _ in range(2):  # from the terminal, and passed on by a launcher
                signal.raise_signal(number)
            reached.append(capsys.readouterr().err)

    with stopped_cleanly(), pytest.raises((Interrupted, KeyboardInterrupt)):
        work()
    assert reached == ["finishing the graph …\n"]
    with pytest.raises(KeyboardInterrupt), held_back(""):  # in a notebook
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_training_leaves_a_signal_ignored_that_is(name):
    """As of a script's ``bertkit pretrain … &``, for which the shell ignores Ctrl-C."""
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stopped_cleanly(), stop_on_signals(lambda: "stopping") as stop:
            signal.raise_signal(number)
        assert stop.signal_number == 0
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def left_by(number, raised):
    try:
        signal.raise_signal(number)
    finally:
        raise raised


def test_processes_that_are_forked_meanwhile_do_not_answer(capfd):
    with stopped_cleanly(), stop_on_signals(lambda: "finishing"):
        for number, code in ((signal.SIGUSR1, 0), (signal.SIGKILL, -signal.SIGKILL)):
            child = os.fork()
            if not child:
                signal.raise_signal(number)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert capfd.readouterr().err == ""


LONG = """
import ctypes, sys
from bertkit.errors import Interrupted
from bertkit.signals import answered_meanwhile, stopped_cleanly
try:
    with stopped_cleanly():
        print("at work", flush=True)
        answered_meanwhile(lambda: ctypes.CDLL(None).sleep(600))
except Interrupted as ending:
    sys.exit(ending.exit_code)
"""


def test_a_long_call_of_compiled_code_does_not_keep_a_signal_waiting():
    process = subprocess.Popen([sys.executable, "-c", LONG], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "at work\n"
        time.sleep(0.2)
        process.terminate()
        assert process.wait(60) == 143  # far less than the call takes
    finally:
        process.kill()
        process.stdout.close()


UNHEARD = """
import signal, sys
from bertkit import console, streams
from bertkit.signals import stop_on_signals
console.PLAIN_LINE_EVERY_S = 0
streams.open_streams()
sys.stdin.read()  # until who read what we say has gone
try:
    with stop_on_signals(lambda: "finishing step 1, saving …"), console.progress("training", 2, "step") as line:
        signal.raise_signal(signal.SIGINT)
        line.update(1)
        print("saved")
except KeyboardInterrupt:
    console.note("stopped")
"""


@pytest.mark.parametrize("heard", ["a pipe", "a terminal", "a log on a full disk"])
def test_what_nobody_hears_ends_no_run_before_it_has_saved(heard):
    """As in ``bertkit pretrain … 2>&1 | tee log``, of which Ctrl-C ends ``tee``, too; and where a terminal is closed."""
    if heard == "a log on a full disk":
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full here")
        reads = writes = os.open("/dev/full", os.O_WRONLY)
    else:
        reads, writes = os.pipe() if heard == "a pipe" else os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", UNHEARD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writes, text=True
    )
    for descriptor in {reads, writes}:
        os.close(descriptor)
    assert process.communicate("")[0] == "saved\n"
    assert process.returncode == 0


def test_work_in_a_thread_returns_and_raises_as_here():
    assert answered_meanwhile(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        answered_meanwhile(lambda: 1 // 0)
