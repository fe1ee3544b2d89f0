"""The engines' Python with torch and mace imported already, for tests that start dozens of jobs.

A server imports them once. The executable that :func:`serve` makes has it fork for each call, and
the fork runs the driver as ``python -m`` would, in the caller's folder, environment and streams:
the imports take a job longer than all that it does to a toy crystal. The chain as users run it
(``test_end_to_end.py``) and what interrupts a training (``test_train.py``) have the plain Python.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SERVER = """
import contextlib, json, os, runpy, select, signal, socket, sys, traceback
import abinslib, ase.io, ase.optimize, euphonic, phonopy, resins, spglib
import mace.calculators, mace.cli.run_train

def perform(words):
    sys.path[0] = ''
    if words[0] == '-m':
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    elif words[0] == '-c':
        sys.argv = ['-c', *words[2:]]
        exec(compile(words[1], '<string>', 'exec'), {'__name__': '__main__'})
    else:
        sys.argv = words
        sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name='__main__')

def work(request, streams):
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    os.chdir(request['cwd'])
    os.environ.clear()
    os.environ.update(request['env'])
    for place in reversed(request['env'].get('PYTHONPATH', '').split(os.pathsep)):
        if place:
            sys.path.insert(1, place)
    code = 0
    try:
        perform(request['words'])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)

def attend(caller):
    data, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    size, _, data = data.partition(b' ')
    while len(data) < int(size):
        data += caller.recv(1 << 20)
    child = os.fork()
    if not child:
        work(json.loads(data), streams)
    caller.sendall(b'%d\\n' % child)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            caller.sendall(b'%d\\n' % code)
            os._exit(0)
        if select.select([caller], [], [], 0.01)[0] and not caller.recv(1):
            os.kill(child, signal.SIGKILL)  # whoever called is no more

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print('ready', flush=True)
while select.select([server, sys.stdin], [], [])[0] == [server]:
    caller = server.accept()[0]
    if not os.fork():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        attend(caller)
    caller.close()
"""

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
request = {{'words': sys.argv[1:], 'cwd': os.getcwd(), 'env': dict(os.environ)}}
request = json.dumps(request).encode()
data = b'%d ' % len(request) + request
sent = socket.send_fds(server, [data], [0, 1, 2])
server.sendall(data[sent:])
answers = server.makefile()
child = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: os.kill(child, number))
code = int(answers.readline() or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextlib.contextmanager
def serve(python: Path) -> Iterator[Path]:
    """Start a server and give the path of the executable that stands for this Python."""
    with tempfile.TemporaryDirectory(prefix='warm') as name:
        folder = Path(name)
        environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
        server = subprocess.Popen(
            [python, '-c', SERVER, folder / 'socket'], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line == 'ready\n':
                    break
            else:
                raise AssertionError('the engines could not be imported')
            client = folder / 'python'
            client.write_text(CLIENT.format(python=sys.executable, path=str(folder / 'socket')))
            client.chmod(0o755)
            yield client
        finally:
            server.stdin.close()
            server.wait()
