# $1 workspace, $2 a name that nobody else uses, $3 the tree at the start, $4 the file for the patch: prints names of files that have changed,
# then the patch's size.
set -eu
cd "$1"
git_() { git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c gc.auto=0 "$@"; }
own=$(git_ rev-parse --absolute-git-dir)
GIT_INDEX_FILE="$own/$2"
cp "$own/index" "$GIT_INDEX_FILE" 2>/dev/null || :
export GIT_INDEX_FILE
git_ add --all >/dev/null 2>&1
tree=$(git_ write-tree)
rm -f "$GIT_INDEX_FILE"
git_ diff-tree -r --binary --full-index --no-renames --no-color --no-ext-diff --no-textconv "$3" "$tree" >"$4"
git_ diff-tree -r --no-renames --name-only "$3" "$tree" | head -n 200
printf 'cofferdam: patch of %s bytes\n' "$(wc -c <"$4" | tr -d ' ')"
