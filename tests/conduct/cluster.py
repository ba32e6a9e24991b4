"""A Slurm of the tests' own: its daemons with three nodes on this host, in a folder that goes with them."""

import getpass
import os
import shutil
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
NODES = {"n1": "p", "n2": "p", "n3": "apart"}
"""The nodes, each with its partition. The last one sees another folder `unshared` than everybody else."""

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d-%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=10
ReturnToService=2
MpiDefault=none
"""
"""What slurm.conf has beside nodes and partitions (slurm.conf(5)): no accounts, no cgroups."""


def why_not():
    """Why there can be no such Slurm here; empty where there can."""
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path_of_daemons())]
    if missing:
        return f"there is no {', '.join(missing)} here (Debian: slurm-wlm and munge)"
    return "" if getpass.getuser() == "root" else "Slurm's daemons are started by root alone"


def path_of_daemons():
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def free_ports(count):
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Cluster:
    """The daemons, started and waited for."""

    def __init__(self, folder):
        self.folder, self.daemons = folder, []
        self.configuration = folder / "slurm.conf"
        self.unshared = folder / "unshared"
        for name in ("state", "unshared", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        host, ports = socket.gethostname(), free_ports(1 + len(NODES))
        lines = [CONFIGURATION.format(host=host, folder=folder, ports=ports)]
        for node, port in zip(NODES, ports[1:]):
            lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=2000\n")
        for partition in dict.fromkeys(NODES.values()):
            nodes = ",".join(node for node, its in NODES.items() if its == partition)
            lines.append(f"PartitionName={partition} Nodes={nodes} MaxTime=INFINITE State=UP\n")
        self.configuration.write_text("".join(lines), encoding="utf-8")

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_all(self):
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        own = [f"--{option}={self.folder / f'munge.{name}'}" for option, name in files.items()]
        self.start("munged", "--foreground", "--force", f"--key-file={key}", *own)
        self.until((self.folder / "munge.socket").exists)
        self.start("slurmctld", "-D", "-i", "-f", str(self.configuration))
        for node, partition in NODES.items():
            apart = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {self.unshared} && exec "$@"', "sh"]
            daemon = ["slurmd", "-D", "-f", str(self.configuration), "-N", node]
            self.start(*(apart if partition == "apart" else []), *daemon)
        self.until(lambda: self.ask("sinfo", "-h", "-N", "-o", "%N %T").count("idle") >= 2)

    def __exit__(self, *failure):
        self.ask("scancel", "--user", getpass.getuser(), "--signal=KILL", "--full")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def start(self, *command):
        """A daemon, as a child of this process."""
        variables = {**os.environ, "PATH": path_of_daemons()}
        with (self.folder / "daemons.log").open("ab") as log:
            self.daemons.append(subprocess.Popen(command, env=variables, stdout=log, stderr=log))

    def ask(self, *command):
        """What a program of Slurm's says."""
        variables = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False).stdout

    @staticmethod
    def until(true, seconds=60):
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.1)

    def state(self, number):
        return self.ask("squeue", "-h", "--states=all", "-j", number, "-o", "%T").strip()

    def has_node(self, node):
        return f"{node} idle" in self.ask("sinfo", "-h", "-N", "-o", "%N %T")

    def drain(self, node):
        """Take a node out of use."""
        self.ask("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")

    def resume(self, node):
        """Put it to use again."""
        self.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.until(lambda: self.has_node(node))

    def requeue(self, number, then):
        """Take its node from a job; `then` is done before it begins again."""
        self.ask("scontrol", "requeue", number)
        self.begin_again(number, then)

    def begin_again(self, number, then):
        """Have a job that is put into the queue again begin at once: Slurm lets it wait for two minutes."""
        self.until(lambda: self.state(number) == "PENDING")
        then()
        time.sleep(2)  # within the second in which it was killed Slurm takes it for the one that was killed
        self.ask("scontrol", "update", f"JobId={number}", "StartTime=now")
