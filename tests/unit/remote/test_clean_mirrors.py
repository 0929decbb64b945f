# SPDX-License-Identifier: Apache-2.0
"""What no job uses is removed; nothing else is, whatever happens meanwhile."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from mlcube_remote.transport.quoting import quote_words
from tests.support.shell_library import DAY, Call, age, facts, launch, records, state
from tests.support.waiting import wait_for

CUBE = "cubes/mnist-0123456789ab"
DATA = "data/set-ba9876543210"
TRIAL = "trials/run1-0-0123456789ab"
IMAGE = "images/mnist-00aa11bb22cc"
ENGINE = r"""#!/bin/sh
# An engine with one image, whose labels are in a file beside this script.
here=${0%/*}
case "$*" in
'image inspect'*) cat "$here/labels" 2>/dev/null || { echo "No such image" >&2; exit 1; } ;;
'image rm'*) echo "$@" >>"$here/calls"; rm "$here/labels" ;;
esac
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a remote_root with a mirror and data, both used long ago."""
    root = tmp_path / "root"
    for name in ("jobs", "locks", CUBE, f"{DATA}/set", "workspaces"):
        (root / name).mkdir(parents=True, mode=0o700)
        (root / name).chmod(0o700)
    root.chmod(0o700)
    for name in ("cubes", "data", "used"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o700)
    (root / CUBE / "mlcube.yaml").write_text("name: mnist\n")
    stamp(root, CUBE)
    stamp(root, DATA)
    return root


def stamp(root: Path, key: str, text: str = "ada@laptop\nmnist\n", days: float = 40) -> Path:
    """Record a use of a mirror."""
    file = root / "used" / key
    file.parent.mkdir(exist_ok=True, mode=0o700)
    file.write_text(text)
    age(file, days * DAY)
    return file


def uses(*keys: str) -> str:
    return quote_words(["ada@laptop", *(word for key in keys for word in (key, "mnist"))])


def clean(call: Call, root: Path, *keys: str, outputs: str = "") -> list[tuple[str, str]]:
    return facts(call("mlcr_remove_unused", str(root), "60", str(30 * DAY), outputs, *keys))


def end_job(call: Call, root: Path, name: str = "run1-0") -> Path:
    """Run a job that uses the mirror to its end."""
    job = root / "jobs" / name
    done = call("mlcr_claim_job", str(job), "{}", "", "", "", uses(CUBE))
    assert done.returncode == 0, done.stderr
    launch(call, job, "true")
    wait_for(lambda: state(call, job) == "ended")
    return job


def test_what_was_not_used_for_long_is_removed(call: Call, root: Path) -> None:
    assert clean(call, root, CUBE, DATA) == [("removed", CUBE), ("removed", DATA)]
    assert list((root / "cubes").iterdir()) == []
    assert not (root / "used" / CUBE).exists()
    assert list((root / "used").glob(".clean.*")) == []
    assert clean(call, root, CUBE) == [("kept", f"age {CUBE}")]


def test_a_claim_records_what_it_uses_and_protects_it(call: Call, root: Path) -> None:
    job = root / "jobs" / "run1-0"
    assert call("mlcr_claim_job", str(job), "{}", "", "", "", uses(CUBE)).returncode == 0
    assert (job / "uses").read_text() == f"{CUBE}\n"
    assert (root / "used" / CUBE).read_text() == "ada@laptop\nmnist\n"
    # Also if its time says otherwise: the job is live.
    stamp(root, CUBE)
    assert clean(call, root, CUBE, DATA) == [("kept", f"live {CUBE}"), ("removed", DATA)]
    assert (root / CUBE / "mlcube.yaml").exists()


def test_a_recent_use_protects_a_mirror_without_a_job(call: Call, root: Path) -> None:
    stamp(root, CUBE, days=29)
    assert clean(call, root, CUBE) == [("kept", f"age {CUBE}")]


def test_a_live_job_of_an_older_client_protects_everything(call: Call, root: Path) -> None:
    assert call("mlcr_claim_job", str(root / "jobs" / "run1-0"), "{}", "").returncode == 0
    assert clean(call, root, CUBE, DATA) == [("kept", f"live {CUBE}"), ("kept", f"live {DATA}")]


def test_outputs_that_were_not_pulled_stay(call: Call, root: Path) -> None:
    job = end_job(call, root)
    assert call("mlcr_remove_job", str(root), job.name, "unpulled").returncode == 0
    stamp(root, CUBE)
    assert clean(call, root, CUBE) == [("kept", f"outputs {CUBE}")]
    report = facts(call("mlcr_report_disk", str(root), "60"))
    assert ("unpulled", job.name) in report
    assert clean(call, root, CUBE, outputs="yes") == [("removed", CUBE)]
    assert list((root / "used" / "cubes").iterdir()) == []


def test_a_job_whose_outputs_were_pulled_protects_nothing(call: Call, root: Path) -> None:
    job = end_job(call, root)
    assert ("used", f"{CUBE} {job.name}") in facts(call("mlcr_report_disk", str(root), "60"))
    assert call("mlcr_remove_job", str(root), job.name).returncode == 0
    stamp(root, CUBE)
    assert clean(call, root, CUBE) == [("removed", CUBE)]


def test_a_mirror_without_a_record_may_have_outputs(call: Call, root: Path) -> None:
    (root / "used" / CUBE).unlink()
    # The directory was changed a moment ago, and that cannot be set back.
    assert clean(call, root, CUBE) == [("kept", f"age {CUBE}")]
    words = (str(root), "60", "0")
    assert facts(call("mlcr_remove_unused", *words, "", CUBE)) == [("kept", f"outputs {CUBE}")]
    assert facts(call("mlcr_remove_unused", *words, "yes", CUBE)) == [("removed", CUBE)]


def test_a_trial_without_its_job_is_removed_if_its_outputs_are_not_wanted(
    call: Call, root: Path
) -> None:
    job = root / "jobs" / TRIAL.partition("/")[2]
    (root / TRIAL / "workspace").mkdir(parents=True)
    job.mkdir()
    assert ("item", TRIAL) not in facts(call("mlcr_report_disk", str(root), "60"))
    words = ("mlcr_remove_unused", str(root), "60", "0")
    assert facts(call(*words, "yes", TRIAL)) == [("kept", f"live {TRIAL}")]
    job.rmdir()
    assert ("item", TRIAL) in facts(call("mlcr_report_disk", str(root), "60"))
    assert facts(call(*words, "", TRIAL)) == [("kept", f"outputs {TRIAL}")]
    assert facts(call(*words[:3], str(30 * DAY), "yes", TRIAL)) == [("kept", f"age {TRIAL}")]
    assert facts(call(*words, "yes", TRIAL)) == [("removed", TRIAL)]
    assert list((root / "trials").iterdir()) == []


def test_a_job_that_is_claimed_at_the_same_moment_keeps_its_mirror(call: Call, root: Path) -> None:
    # mv is the moment between the first look at the jobs and the second.
    tools = root.parent / "tools"
    tools.mkdir()
    (tools / "mv").write_text(
        f'#!/bin/sh\n/bin/mv "$@"\ncase "$*" in *.removing.*) mkdir -p {root}/jobs/run2-0;'
        f" echo {CUBE} >{root}/jobs/run2-0/uses ;; esac\n"
    )
    (tools / "mv").chmod(0o755)
    done = call(
        *("mlcr_remove_unused", str(root), "60", str(30 * DAY), "", CUBE, DATA),
        PATH=f"{tools}:{os.environ['PATH']}",
    )
    if ("removed", CUBE) in facts(done):
        pytest.fail("the mirror of a job was removed")
    assert records(done) == [("kept", f"live {CUBE}"), ("removed", DATA)]
    assert (root / CUBE / "mlcube.yaml").exists()


def test_a_claim_waits_while_a_client_removes(call: Call, root: Path) -> None:
    cleaner = root / "used" / ".clean.1"
    cleaner.mkdir()  # it has not written who it is yet
    job = root / "jobs" / "run1-0"
    done = call("mlcr_claim_job", str(job), "{}", "", "", "", uses(CUBE))
    assert (done.returncode, records(done)) == (16, [("state", "cleaning")])
    assert not job.exists()
    # A client that died does not stop jobs for ever, also if its machine cannot be asked.
    (cleaner / "preparing").write_text("boot 1 1 another-node\n")
    age(cleaner, 3600)
    assert call("mlcr_claim_job", str(job), "{}", "", "", "", uses(CUBE)).returncode == 0


def test_a_removal_that_was_cut_is_taken_back_or_finished(call: Call, root: Path) -> None:
    (root / CUBE).rename(root / "cubes" / ".removing.mnist-0123456789ab.77")
    (root / DATA).rename(root / "data" / ".removed.set-ba9876543210.77")
    dead = root / "used" / ".clean.77"
    dead.mkdir()
    (dead / "preparing").write_text(f"another-boot 77 1 {platform.node()}\n")
    assert ("item", "data/.removed.set-ba9876543210.77") in facts(
        call("mlcr_report_disk", str(root), "60")
    )
    assert clean(call, root) == []
    assert (root / CUBE / "mlcube.yaml").exists()
    assert list((root / "data").iterdir()) == []
    assert not dead.exists()


def test_only_names_that_clients_give_are_removed(call: Call, root: Path) -> None:
    (root / "cubes" / "thesis").mkdir()
    keys = [
        *("cubes/..", "cubes/", "cubes", "jobs/run1-0123456789ab", "cubes/a/../../x-0123456789ab"),
        *("cubes/.x-0123456789ab", "cubes/thesis", "../cubes/mnist-0123456789ab", "/etc"),
        *("cubes/a b-0123456789ab", "cubes/*-0123456789ab", ""),
    ]
    answer = facts(call("mlcr_remove_unused", str(root), "60", "0", "yes", *keys))
    assert answer == [("kept", f"name {key}") for key in keys]
    assert (root / "cubes" / "thesis").exists()
    assert (root / CUBE).exists()


def test_links_are_not_followed(call: Call, root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("x")
    (root / CUBE / "link").symlink_to(precious)
    linked = "cubes/linked-0123456789ab"
    (root / linked).symlink_to(precious)
    stamp(root, linked)
    assert clean(call, root, CUBE, linked) == [("kept", f"gone {linked}"), ("removed", CUBE)]
    assert (precious / "thesis").exists()


def test_a_directory_that_is_a_link_is_refused(call: Call, root: Path, tmp_path: Path) -> None:
    (root / "data").rename(tmp_path / "data")
    (root / "data").symlink_to(tmp_path / "data")
    done = call("mlcr_remove_unused", str(root), "60", "0", "yes", DATA)
    assert done.returncode == 1
    assert (tmp_path / DATA / "set").exists()
    assert ("item", DATA) not in facts(call("mlcr_report_disk", str(root), "60"))


def test_a_directory_that_is_not_ours_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / CUBE).mkdir(parents=True)
    done = call("mlcr_remove_unused", str(tmp_path), "60", "0", "yes", CUBE)
    assert done.returncode == 1, "there are no jobs and no locks"
    assert (tmp_path / CUBE).exists()


def test_read_only_directories_are_deleted_and_the_rest_is_reported(call: Call, root: Path) -> None:
    deep = root / CUBE / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("")
    deep.chmod(0o500)
    assert clean(call, root, CUBE) == [("removed", CUBE)]
    # rm cannot delete this, as it cannot delete files of another user.
    tools = root.parent / "tools"
    tools.mkdir()
    (tools / "rm").write_text(
        '#!/bin/sh\ncase "$*" in *.removed.*) exit 1 ;; esac\nexec /bin/rm "$@"\n'
    )
    (tools / "rm").chmod(0o755)
    words = ("mlcr_remove_unused", str(root), "60", str(30 * DAY), "", DATA)
    done = call(*words, PATH=f"{tools}:{os.environ['PATH']}")
    assert facts(done) == [("left", DATA)]
    assert not (root / DATA).exists()


@pytest.mark.parametrize(
    ("labels", "answer"),
    [
        ("{uid} mnist:1", "removed"),
        ("{uid} base:1", "kept"),
        ("4321 mnist:1", "kept"),
        (" ", "kept"),
    ],
)
def test_only_an_image_that_was_built_for_this_user_is_removed(
    call: Call, root: Path, labels: str, answer: str
) -> None:
    engine = root.parent / "engine"
    engine.mkdir()
    (engine / "docker").write_text(ENGINE)
    (engine / "docker").chmod(0o755)
    (engine / "labels").write_text(f"2048 {labels.format(uid=os.getuid())}\n")
    stamp(root, IMAGE, f"ada@laptop\nmnist:1\n{engine}/docker\n")
    report = facts(call("mlcr_report_disk", str(root), "60"))
    about = report[report.index(("item", IMAGE)) :]
    assert {("name", "mnist:1"), ("client", "ada@laptop"), ("bytes", "2048")} <= set(about)
    assert (("built", "yes") in about) == (answer == "removed")
    expected = ("removed", IMAGE) if answer == "removed" else ("kept", f"foreign {IMAGE}")
    assert clean(call, root, IMAGE) == [expected]
    assert (engine / "calls").exists() == (answer == "removed")


def test_the_report_has_sizes_ages_and_sif_images(call: Call, root: Path) -> None:
    (root / CUBE / "weights").write_bytes(b"\1" * 300_000)
    images = root / CUBE / "workspace" / ".image"
    images.mkdir(parents=True)
    (images / "x.sif").write_bytes(b"\1" * 5000)
    (images / ".x.sif.recipe").write_text("abc 5000\n")
    report = facts(call("mlcr_report_disk", str(root), "60"))
    start = report.index(("item", CUBE))
    about = dict(report[start : start + 6])
    assert int(about["size"]) >= 300
    assert abs(int(about["age"]) - 40 * DAY) < DAY
    assert (about["client"], about["name"], about["sif"]) == ("ada@laptop", "mnist", "5000")


def test_sizes_that_cannot_be_measured_in_time_are_lower_limits(call: Call, root: Path) -> None:
    report = facts(call("mlcr_report_disk", str(root), "0"))
    assert ("atleast", "0") in report
    assert "size" not in dict(report)
    tools = root.parent / "tools"
    tools.mkdir()
    # It prints a part, and then the time is over.
    (tools / "du").write_text("#!/bin/sh\nprintf '700\\t./a\\n300\\t./b\\n'; exit 124\n")
    (tools / "du").chmod(0o755)
    words = ("mlcr_report_disk", str(root), "60")
    assert ("atleast", "700") in facts(call(*words, PATH=f"{tools}:{os.environ['PATH']}"))


def test_there_may_be_nothing(call: Call, tmp_path: Path) -> None:
    answer = facts(call("mlcr_report_disk", str(tmp_path / "none"), "60"))
    assert answer == [("root", str(tmp_path / "none"))]
