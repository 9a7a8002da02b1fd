#!/bin/sh
# Two builds of Dunlin in one network: what one seals the other opens, and each keeps and hands out what the other sealed.
# old_and_new.sh OLD NEW FOLDER: two programs, and a folder for their files.
set -u
old=$1
new=$2
cd "$3" || exit 1

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

until_holds() {
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2 # the pace of looking
    done
    fail "in vain waited until: $*"
}

# Ten relays, five of each, each at an address of its own.
relays=""
trap 'kill $relays 2>/dev/null; wait 2>/dev/null' EXIT
for n in 1 2 3 4 5 6 7 8 9 10; do
    program=$old
    [ $((n % 2)) = 0 ] && program=$new
    "$program" --home relay-$n keys new >/dev/null || fail "no keys for relay $n"
    peers=""
    [ $n -gt 1 ] && peers="--peer 127.1.0.1:4901 --peer 127.2.0.1:4902"
    [ $n = 2 ] && peers="--peer 127.1.0.1:4901"
    "$program" --home relay-$n relay --listen 127.$n.0.1:$((4900 + n)) $peers >relay-$n.out 2>relay-$n.err &
    relays="$relays $!"
done
knows_nine() { "$new" --home relay-2 --json relay status | tail -n 1 | grep -q '"carriers_known":9'; }
until_holds knows_nine
net="--peer 127.1.0.1:4901 --peer 127.2.0.1:4902"

"$old" --home alice keys new >/dev/null
"$new" --home bob keys new >/dev/null
"$old" --home alice keys card >alice.card
"$new" --home bob keys card >bob.card

"$old" --home alice send --to bob.card $net --listen 127.21.0.1:0 --within 60 'from the old one' || fail "the old one cannot send"
"$new" --home bob receive --count 1 $net --listen 127.22.0.1:0 --within 60 >bob.out || fail "the new one did not get it"
grep -q 'from the old one' bob.out || fail "the new one got $(cat bob.out)"
"$new" --home bob send --to alice.card $net --listen 127.22.0.1:0 --within 60 'from the new one' || fail "the new one cannot send"
"$old" --home alice receive --count 1 $net --listen 127.21.0.1:0 --within 60 >alice.out || fail "the old one did not get it"
grep -q 'from the new one' alice.out || fail "the old one got $(cat alice.out)"
"$old" --home alice outbox --wait $net --listen 127.21.0.1:0 --within 60 >/dev/null || fail "the old one has no proof"
"$new" --home bob outbox --wait $net --listen 127.22.0.1:0 --within 60 >/dev/null || fail "the new one has no proof"
echo "old and new carry, seal, open and prove for each other"
