# $1 workspace, $2 a name that nobody else uses, $3 the file with the patch: applies it as a whole or not at all. Where lines around it have
# changed meanwhile, git puts both together if it can.
set -eu
cd "$1"
git_() { git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c gc.auto=0 "$@"; }
applied() { rm -f "$3" "$3.both"; echo 'cofferdam: applied'; exit 0; }
if git_ apply --check --whitespace=nowarn "$3" >/dev/null 2>&1; then
	git_ apply --whitespace=nowarn "$3"
	applied "$@"
fi
# Done already, by whoever was cut short before it could say so.
if git_ apply --check --reverse --whitespace=nowarn "$3" >/dev/null 2>&1; then
	applied "$@"
fi
own=$(git_ rev-parse --absolute-git-dir)
GIT_INDEX_FILE="$own/$2"
cp "$own/index" "$GIT_INDEX_FILE" 2>/dev/null || :
export GIT_INDEX_FILE
git_ add --all >/dev/null 2>&1
before=$(git_ write-tree)
if git_ apply --3way --cached --whitespace=nowarn "$3" >"$3.said" 2>&1 && after=$(git_ write-tree 2>/dev/null); then
	rm -f "$GIT_INDEX_FILE" "$3.said"
	unset GIT_INDEX_FILE
	git_ diff-tree -r --binary --full-index --no-renames --no-color --no-ext-diff --no-textconv "$before" "$after" >"$3.both"
	git_ apply --whitespace=nowarn "$3.both"
	applied "$@"
fi
unmerged=$(git_ diff-files --name-only --diff-filter=U | sort -u | head -n 50)
if [ -n "$unmerged" ]; then
	printf '%s\n' "$unmerged"
else
	sed -n 's/^error: //p' "$3.said" | head -n 20
fi
rm -f "$GIT_INDEX_FILE" "$3" "$3.said"
echo 'cofferdam: conflicts'
