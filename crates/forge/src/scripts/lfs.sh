# What git runs on files that Git LFS keeps (gitattributes(5), `filter`): sh lfs.sh clean|smudge OBJECTS [KNOWN]
#
# Does what git-lfs-clean(1) and git-lfs-smudge(1) do, but never asks anybody for anything: contents lie in OBJECTS, as git-lfs has them there.
# What is not there stays a pointer, and a pointer stays what it is. What lies in KNOWN already is not kept twice.
set -eu
umask 022
objects=$2
known=${3:-$objects}
mkdir -p "$objects"
part=$(mktemp "$objects/part.XXXXXX")
trap 'rm -f "$part"' EXIT
cat > "$part"
size=$(wc -c < "$part" | tr -d ' ')
pointer=no
if [ "$size" -lt 1024 ] && [ "$(head -n 1 "$part" | tr -d '\000')" = 'version https://git-lfs.github.com/spec/v1' ]; then pointer=yes; fi

place_of() { printf '%s' "$1" | sed 's,^\(..\)\(..\).*$,\1/\2/&,'; }

case $1 in
  clean)
    # Nothing is its own pointer.
    if [ "$pointer" = yes ] || [ "$size" -eq 0 ]; then
      cat "$part"
      exit 0
    fi
    oid=$(sha256sum < "$part" | cut -c 1-64)
    place=$(place_of "$oid")
    if [ ! -f "$objects/$place" ] && [ ! -f "$known/$place" ]; then
      mkdir -p "$objects/${place%/*}"
      mv "$part" "$objects/$place"
    fi
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %s\n' "$oid" "$size"
    ;;
  smudge)
    oid=
    if [ "$pointer" = yes ]; then oid=$(sed -n 's/^oid sha256:\([0-9a-f]\{64\}\)$/\1/p' "$part" | head -n 1); fi
    if [ -n "$oid" ] && [ -f "$objects/$(place_of "$oid")" ]; then
      cat "$objects/$(place_of "$oid")"
    else
      cat "$part"
    fi
    ;;
esac
