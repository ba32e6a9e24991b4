"""Looks at the environment itself: what a process of each pin has mapped after a training step, and where it is from.

Shows what an upgrade would change beneath Python: shared libraries, versions and build settings of MKL, oneDNN, OpenMP,
cuDNN, cuBLAS and NCCL, the kind of CPU code that was chosen, and what the packages require of one another. And whether
the environment is sound: a library that is missing, one of the system in the place of a wheel's, two OpenMP runtimes, a
glibc or a driver that is too old.
"""

from harness.core.declaration import Case, DeclaredCheck, DeclaredFingerprint, DeclaredMetric

MAPPED = DeclaredFingerprint(
    "mapped", "Shared libraries", counted="file", by_name=True, inventory=True, differs="versions bring their own"
)
"""By the name in its package, without what wheels and Python add to it: the version of the file, its size, and the
digest that the wheel has of it."""
SETTINGS = DeclaredFingerprint(
    "build",
    "Build and runtime",
    counted="setting",
    by_name=True,
    inventory=True,
    differs="versions are built otherwise",
)
REQUIRED = DeclaredFingerprint(
    "required", "Requirements", counted="requirement", by_name=True, inventory=True, differs="versions require others"
)
"""`PACKAGE requires PACKAGE`, for what torch requires and for what requires torch: the versions that will do."""

CASE = Case(
    metrics=(DeclaredMetric("mapped_size", "Size of the mapped shared libraries", "bytes", "ratio"),),
    checks=(
        DeclaredCheck("complete", "Every library and package that something here needs is there"),
        DeclaredCheck(
            "unmixed", "No library from outside takes the place of a wheel's, and there is one OpenMP runtime"
        ),
        DeclaredCheck("able", "C libraries, driver and GPU are those that the wheels need"),
    ),
    fingerprints=(MAPPED, SETTINGS, REQUIRED),
)
