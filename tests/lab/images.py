"""The images: a Debian release with everything in it that any of the hosts runs, from the distribution's own packages."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.machine import podman, run
from tests.lab.topology import RELEASES, STATE, Release

LABEL = "multischema.recipe"
CUSTOMIZE = Path(__file__).with_name("image_customize.sh")
PACKAGES = (
    # a host
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
    # what runs on it
    "pgbackrest",
    "pgbouncer",
    "postgresql",
    "prometheus",
    "python3-psycopg2",
)
# Unpacking is most of the work: nobody reads manuals in a lab, and a crash only means to begin anew.
DPKG = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/javascript/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
)
APT = ('Acquire::Languages "none"', 'APT::Install-Recommends "false"')
# Of the machine's own apt configuration, what decides whether and how a mirror is reached.
APT_INHERITED = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::Retries")


def recipe(release: Release) -> str:
    """A checksum of everything that decides what is in an image."""
    parts = [release.suite, *PACKAGES, *DPKG, *APT, CUSTOMIZE.read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def is_current(release: Release) -> bool:
    """Whether the image is there and was made from the recipe as it is now."""
    template = f'{{{{ index .Labels "{LABEL}" }}}}'
    return podman("image", "inspect", "--format", template, release.image, check=False).strip() == recipe(release)


def build_missing(releases: Iterable[Release] = RELEASES) -> list[Release]:
    """Build the images that are not there or out of date, side by side.

    :returns: those that were built.
    :raises LabError: mmdebstrap or podman failed.
    """
    wanted = [release for release in releases if not is_current(release)]
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        list(pool.map(_build, wanted))
    return wanted


def remove_images() -> None:
    """Remove the images, of all labs of this machine."""
    for release in RELEASES:
        podman("image", "rm", "--force", "--ignore", release.image, check=False)


def sources(suite: str) -> list[str]:
    """The lines of a sources.list for a suite, from the mirrors that this machine's apt uses for Debian.

    Empty where it uses none (Ubuntu, say): mmdebstrap then takes its own default.
    """
    listing = run("apt-get", "indextargets", "--format", "$(REPO_URI)\t$(ORIGIN)\t$(LABEL)", check=False).stdout
    found = {tuple(line.split("\t")) for line in listing.splitlines() if line.count("\t") == 2}
    main = sorted(uri for uri, origin, label in found if origin == "Debian" and label == "Debian")
    security = sorted(uri for uri, origin, label in found if origin == "Debian" and label == "Debian-Security")
    lines = [f"deb {uri} {name} main" for uri in main[:1] for name in (suite, f"{suite}-updates")]
    return lines + [f"deb {uri} {suite}-security main" for uri in security[:1] if main]


def _build(release: Release) -> None:
    cache = STATE / "apt" / release.suite
    cache.mkdir(parents=True, exist_ok=True)
    # Beside the packages, not in /tmp: that may be small, or in memory.
    work = Path(tempfile.mkdtemp(prefix=f"image-{release.name}-", dir=STATE))
    try:
        tar, listing = work / "image.tar", work / "sources.list"
        listing.write_text("".join(f"{line}\n" for line in sources(release.suite)))
        run(*_mmdebstrap(release, cache, tar, listing), root=True, environment={"TMPDIR": str(work)})
        changes = ['CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3", f"LABEL {LABEL}={recipe(release)}"]
        podman("import", *(word for change in changes for word in ("--change", change)), str(tar), release.image, timeout_s=900)
    finally:
        run("rm", "-rf", "--one-file-system", str(work), root=True, check=False)


def _mmdebstrap(release: Release, cache: Path, tar: Path, listing: Path) -> list[str]:
    """The command that makes the archive of a release; packages are kept in, and taken from, ``cache``."""
    apt = [f"--aptopt={option}" for option in (*APT, *_inherited_apt_options())]
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet", f"--include={','.join(PACKAGES)}", *apt]
    command += [f"--dpkgopt={option}" for option in DPKG]
    command += [
        "--skip=download/empty",
        "--skip=essential/unlink",
        '--setup-hook=mkdir -p "$1"/var/cache/apt/archives/',
        f"--setup-hook=sync-in '{cache}' /var/cache/apt/archives/",
        f"--customize-hook=sync-out /var/cache/apt/archives '{cache}'",
        f"--customize-hook={CUSTOMIZE}",
    ]
    return [*command, release.suite, str(tar), *([str(listing)] if listing.stat().st_size else [])]


def _inherited_apt_options() -> list[str]:
    """Lines of the machine's apt configuration, as ``apt-config`` prints them, without the final semicolon."""
    lines = run("apt-config", "dump", check=False).stdout.splitlines()
    return [line.rstrip(";") for line in lines if line.startswith(APT_INHERITED) and not line.endswith(' "";')]
