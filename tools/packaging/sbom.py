#!/usr/bin/env python3
"""Writes what is in a build of Voltlane as a CycloneDX bill of materials: the packages of Swift that Package.resolved
pins, the Swift toolchain whose standard library is linked in, and the libraries of the system, as Debian has them.

    sbom.py VERSION COMMIT TIME LINK PROGRAM...

TIME is in seconds since 1970: the same arguments give the same text. LINK is static or dynamic: how the libraries for
cryptography and io_uring are linked. What PROGRAMs load is asked of ldd.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time
import uuid

# Linked in for a tarball: their archives, from packages with these names.
ARCHIVES = {"libsodium": "libsodium-dev", "liburing": "liburing-dev", "libsecp256k1": "libsecp256k1-dev"}


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def swift_packages() -> list[dict]:
    pins = json.loads(pathlib.Path("Package.resolved").read_text())["pins"]
    return [
        {
            "type": "library",
            "bom-ref": f"swift:{pin['identity']}",
            "name": pin["identity"],
            "version": pin["state"]["version"],
            "purl": "pkg:swift/" + pin["location"].removeprefix("https://").removesuffix(".git")
            + f"@{pin['state']['version']}",
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "externalReferences": [{"type": "vcs", "url": pin["location"], "comment": pin["state"]["revision"]}],
        }
        for pin in sorted(pins, key=lambda pin: pin["identity"])
    ]


def toolchain() -> dict:
    version = re.search(r"Swift version (\S+)", said("swift", "--version")).group(1)
    return {
        "type": "framework", "bom-ref": "swift:toolchain", "name": "swift", "version": version,
        "purl": f"pkg:github/swiftlang/swift@swift-{version}-RELEASE",
        "licenses": [{"expression": "Apache-2.0 WITH Swift-exception"}],
    }


def debian(package: str, how: str) -> dict:
    fields = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
    name, version, architecture, source, source_version = said(
        "dpkg-query", "--show", f"--showformat={fields}", package).splitlines()[0].split("\t")
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', pathlib.Path("/etc/os-release").read_text(), re.MULTILINE))
    return {
        "type": "library", "bom-ref": f"deb:{name}", "name": name, "version": version,
        "purl": f"pkg:deb/{release['ID']}/{name}@{version.replace('+', '%2B').replace('~', '%7E')}"
        f"?arch={architecture}&distro={release['ID']}-{release['VERSION_ID']}",
        "properties": [
            {"name": "voltlane:link", "value": how},
            {"name": "voltlane:debian-source", "value": f"{source} {source_version}"},
        ],
    }


def loaded(programs: list[str]) -> set[str]:
    """The Debian packages of the libraries that the programs load."""
    files: set[str] = set()
    for program in programs:
        # The loader itself has no arrow.
        files.update(re.findall(r"(?:=> |^\s)(/\S+)", said("ldd", program), re.MULTILINE))
    packages = set()
    for file in files:
        # dpkg knows some files by the path that they had before /lib became a link.
        for path in (file, str(pathlib.Path(file).resolve()), file.removeprefix("/usr")):
            found = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True)
            if found.returncode == 0:
                packages.add(found.stdout.split(": ")[0])
                break
        else:
            sys.exit(f"sbom.py: no package has {file}, which the programs load")
    return packages


def main() -> None:
    version, commit, seconds, link, *programs = sys.argv[1:]
    system = [debian(package, "dynamic") for package in sorted(loaded(programs))]
    if link == "static":
        system += [debian(package, "static") for package in sorted(ARCHIVES.values())]
    components = [*swift_packages(), toolchain(), *system]
    digests = [
        {
            "type": "file", "bom-ref": f"file:{pathlib.Path(program).name}", "name": pathlib.Path(program).name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()}],
        }
        for program in programs
    ]
    content = json.dumps([components, digests], sort_keys=True)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds))),
            "component": {
                "type": "application", "bom-ref": "voltlane", "name": "voltlane", "version": version,
                "properties": [{"name": "voltlane:commit", "value": commit}],
            },
        },
        "components": components + digests,
        "dependencies": [
            {"ref": "voltlane", "dependsOn": [component["bom-ref"] for component in components + digests]}
        ],
    }
    json.dump(bill, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
