#!/bin/sh
# Two new users, each on a machine of their own (a network namespace), and ten relays between them, by nothing but the command line.
# Run by two_users.rs inside a network namespace of its own: two_users.sh PROGRAM FOLDER
set -u
dunlin=$1
folder=$2
cd "$folder" || exit 1
failed=0

fail() {
    echo "FAILED: $*" >&2
    failed=1
}

# said WORDS FILE: what was printed has these words.
said() {
    grep -qF -- "$1" "$2" || fail "expected \"$1\" in: $(head -c 600 "$2")"
}

# ends CODE COMMAND...: runs it, keeps what it prints in ./out and ./err.
ends() {
    wanted=$1
    shift
    "$@" >out 2>err </dev/null
    code=$?
    [ "$code" = "$wanted" ] || fail "exit code $code, not $wanted: $* ($(head -c 600 err))"
}

# object: the last line of ./out is one JSON object.
object() {
    tail -n 1 out | grep -q '^{.*}$' || fail "the last line is no object: $(tail -n 1 out | head -c 300)"
}

# until COMMAND...: looks until it holds, for two minutes.
until_holds() {
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2 # the pace of looking
    done
    fail "in vain waited until: $*"
    return 1
}

# A bridge, and a namespace for each of the two, held open by a process.
ip link set lo up
ip link add lan type bridge
ip link set lan up
ip address add 10.9.0.1/24 dev lan
machine() {
    unshare --net sleep 100000 &
    eval "$1=$!"
    pid=$!
    until_holds sh -c "! [ /proc/$pid/ns/net -ef /proc/self/ns/net ]"
    ip link add "$2" type veth peer name eth0 netns "$pid"
    ip link set "$2" master lan up
    nsenter --target "$pid" --net ip link set lo up
    nsenter --target "$pid" --net ip link set eth0 up
    nsenter --target "$pid" --net ip address add "$3/24" dev eth0
}
machine alice_machine to-alice 10.9.0.2
machine bob_machine to-bob 10.9.0.3
alice() { nsenter --target "$alice_machine" --net "$dunlin" --home "$folder/alice" "$@"; }
bob() { nsenter --target "$bob_machine" --net "$dunlin" --home "$folder/bob" "$@"; }

# Ten relays, each at an address of its own.
relays=""
for n in 11 12 13 14 15 16 17 18 19 20; do
    ip address add 10.9.0.$n/24 dev lan
    "$dunlin" --home "relay-$n" keys new >/dev/null
    peer="--peer 10.9.0.11:4444"
    [ $n = 11 ] && peer=""
    "$dunlin" --home "relay-$n" relay --listen 10.9.0.$n:4444 $peer >"relay-$n.out" 2>"relay-$n.err" &
    relays="$relays $!"
done
trap 'kill $relays $alice_machine $bob_machine 2>/dev/null; wait 2>/dev/null' EXIT
knows_nine() { "$dunlin" --home relay-11 --json relay status | tail -n 1 | grep -q '"carriers_known":9'; }
until_holds knows_nine
net="--peer 10.9.0.11:4444 --peer 10.9.0.12:4444"

echo "- what is there, and help for each of it"
ends 0 alice --version
said "dunlin" out
ends 2 alice
ends 2 alice frobnicate
said "frobnicate" err
for command in "" keys "keys new" "keys show" "keys card" "keys export" "keys import" contacts "contacts add" "contacts list" \
    "contacts show" "contacts remove" "contacts rename" send receive outbox "outbox list" "outbox cancel" relay "relay status" \
    demo doctor completions man sim room "room new" "room join" "room list" "room leave" "room send" "room listen"; do
    ends 0 alice $command --help
    said "Usage:" out
done

echo "- keys and cards"
ends 1 alice keys show
said "keys new" err
ends 0 alice keys new
ends 1 alice keys new
said "alice/keys" err
ends 0 bob --json keys new
object
ends 0 alice --json keys show
object
ends 0 alice keys card --name Alice
cp out alice.card
ends 0 alice keys card --qr
ends 0 bob --json keys card --name Bob
object
ends 0 bob keys card --name Bob
cp out bob.card

echo "- contacts"
ends 0 alice contacts add Bob bob.card
ends 1 alice contacts add Eve dunlin:nothing
ends 0 bob --json contacts add Alice "$(cat alice.card)"
object
ends 0 alice --json contacts list
said '"Bob"' out
ends 0 alice contacts rename Bob Robert
ends 0 alice contacts show robert
ends 1 alice contacts show Bob
ends 0 alice contacts rename Robert Bob

echo "- a text and a file for Bob, who is away"
ends 1 alice send --to Nobody hello $net
ends 2 alice send --to Bob
printf 'tea, sugar, milk' >list.txt
ends 0 alice --json send --to Bob $net --within 60 'Tea at four?' list.txt
object
said '"stored"' out
said '"forward_secret":false' out
ends 0 alice outbox list
ends 0 alice --json outbox list
object
ends 1 bob receive --once --within 1
said "--peer" err
ends 0 bob --json receive --count 2 --out got $net --within 60
object
said 'Tea at four?' out
said '"contact":"Alice"' out
cmp -s list.txt got/list.txt || fail "the list is not what was sent"
ends 0 alice --json outbox --wait $net --within 60
object
said '"delivered"' out

echo "- a large file while Bob listens, and an answer"
head -c 400000 /dev/urandom >film.bin
nsenter --target "$bob_machine" --net "$dunlin" --home "$folder/bob" --json receive --count 1 --out got $net --within 120 >bob.out 2>bob.err &
listening=$!
ends 0 alice --json send --to Bob $net --within 120 film.bin
said '"parts":7' out
said '"forward_secret":true' out
wait $listening || fail "Bob: $(cat bob.err)"
cmp -s film.bin got/film.bin || fail "the film is not what was sent"
ends 0 bob send --to alice $net --within 60 'Yes, and bring the film.'
ends 0 alice receive --once $net --within 60
said 'Bob: Yes, and bring the film.' out
ends 0 alice outbox --wait $net --within 60

echo "- taking one back"
ends 1 alice --json send --to Bob --within 0 'never mind'
id=$(tail -n 1 out | grep -o '"message":"[0-9a-f]*"' | cut -d '"' -f 4)
ends 0 alice --json outbox cancel "$id"
object
ends 1 alice outbox cancel "$id"

echo "- a room"
ends 2 alice room new ""
ends 0 alice room new Tea
cp out tea.room
ends 0 bob room join tea.room
ends 1 bob room join "$(cat tea.room)"
said "already" err
ends 1 bob room join dunlin-room:nothing
ends 1 alice room send Te $net hello
said 'did you mean "Tea"' err
ends 0 alice --json room send Tea $net --within 60 'Cake is ready' list.txt
object
ends 0 bob --json room listen Tea --count 2 --out heard $net --within 60
object
said 'Cake is ready' out
said '"contact":"Alice"' out
cmp -s list.txt heard/list.txt || fail "the list in the room is not what was sent"
ends 0 bob room listen tea --once $net --within 60
grep -q Cake out && fail "the room told Bob twice"
ends 0 alice outbox list
said "to Tea" out
ends 0 alice room list --invitations
said "dunlin-room:" out
ends 0 alice --json room list
object
ends 0 bob room leave Tea
ends 1 bob room listen Tea --once

echo "- keys in a drawer"
echo 'correct horse battery staple' >pass
ends 0 alice keys export --passphrase-file pass drawer.keys
ends 1 alice keys export --passphrase-file pass drawer.keys
ends 0 "$dunlin" --home alice-2 keys import --passphrase-file pass drawer.keys
ends 0 "$dunlin" --home alice-2 --json keys show
tail -n 1 out >second
ends 0 alice --json keys show
[ "$(grep -o '"id":"[^"]*"' second)" = "$(tail -n 1 out | grep -o '"id":"[^"]*"')" ] || fail "another id came out of the drawer"


echo "- the rest"
ends 0 "$dunlin" --home relay-12 relay status
said "10.9.0.12" relay-12.out
ends 0 "$dunlin" --home relay-12 --json relay status
object
ends 1 alice relay status
ends 0 alice doctor
ends 0 alice --json doctor
object
for shell in bash zsh fish; do ends 0 alice completions $shell; done
ends 0 alice man pages
[ -s pages/dunlin-send.1 ] || fail "no manual page for send"
ends 2 alice sim nothing.toml
ends 0 alice contacts remove Bob

[ $failed = 0 ] && echo "all as two new users would have it"
exit $failed
