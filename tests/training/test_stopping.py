"""Signals: the first asks, the second insists; work that can be dropped is dropped at once."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from luoxia.training.stopping import SignalHandler, StopRequested


def send(number):
    """A real signal to this process."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(number):
    signals = SignalHandler()
    with signals.installed():
        assert signals.signal is None
        send(number)
        assert signals.signal == number.name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruptible_work_ends_at_once(number):
    signals, done = SignalHandler(), []
    with signals.installed():
        with pytest.raises(StopRequested), signals.interruptible():
            done.append("begun")
            send(number)
            done.append("gone on")
        assert done == ["begun"] and signals.signal == number.name


def test_interruptible_work_does_not_begin_after_a_request():
    signals = SignalHandler()
    with signals.installed():
        send(signal.SIGTERM)
        with pytest.raises(StopRequested), signals.interruptible():
            pytest.fail("began")


def test_work_after_an_interruptible_part_is_not_dropped():
    signals = SignalHandler()
    with signals.installed():
        with signals.interruptible():
            pass
        send(signal.SIGTERM)
        assert signals.signal == "SIGTERM"


@pytest.mark.parametrize("fail", [False, True])
def test_the_old_handlers_come_back(fail):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        with SignalHandler().installed():
            assert signal.getsignal(signal.SIGTERM) != before[1]
            if fail:
                raise RuntimeError
    except RuntimeError:
        assert fail
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_hang_up_is_a_request_that_never_insists():
    """A terminal that closes may send several: from the kernel, and from the shell."""
    signals = SignalHandler()
    with signals.installed():
        send(signal.SIGHUP)
        send(signal.SIGHUP)
        assert signals.signal == "SIGHUP"


def test_nohup_is_kept():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = SignalHandler()
        with signals.installed():
            send(signal.SIGHUP)
        assert signals.signal is None and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_it_does_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with SignalHandler().installed() as signals:
            seen.append((signals.signal, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_kills(first, second):
    """A process that does not come to its end must still be stoppable by the usual keys."""
    program = (
        "import time\nfrom luoxia.training.stopping import SignalHandler\n"
        "s = SignalHandler()\n"
        "with s.installed():\n"
        "    print('ready', flush=True)\n"
        "    while s.signal is None: time.sleep(0.01)\n"
        "    print(s.signal, flush=True)\n"
        "    for _ in range(9000): time.sleep(0.01)\n"  # one long sleep could swallow a signal at its start
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == f"{first.name}\n"
    process.send_signal(second)
    assert process.wait(60) == -second
