# Checks a submodule out. Runs inside a sandbox: sh -c SCRIPT submodule REPOSITORY PATH COMMIT SEED CONTENTS FILTER CHECKOUT
#
# The REPOSITORY is checked out already. Only where it has the submodule at PATH and at COMMIT is anything done: what another commit of it has
# there is not this. CONTENTS is the directory with what Git LFS keeps of it, if that is there. FILTER and CHECKOUT are the texts of the programs that
# make a workspace (checkout.sh).
set -eu
repository=$1
path=$2
commit=$3
seed=$4
contents=$5
filter=$6
checkout=$7
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_LITERAL_PATHSPECS=1 LC_ALL=C

cd "$repository" 2>/dev/null || exit 0
case $(git ls-files --stage -- "$path") in
  "160000 $commit 0	"*) ;;
  *) exit 0 ;;
esac
sh -c "$checkout" checkout "$seed" "$repository/$path" "$filter" "$contents"
# What its files are compared with, when they are looked at again.
git -C "$repository/$path" update-ref refs/cofferdam/base HEAD
