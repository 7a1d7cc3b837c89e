#!/usr/bin/env bash
# mosquitto_pub and mosquitto_sub, in both versions, against a hub: `mosquitto.sh HOST PORT`.
set -euo pipefail
host=$1 port=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "failed: mosquitto: $*" >&2; exit 1; }
for version in mqttv311 mqttv5; do
    for qos in 0 1 2; do
        topic=mosquitto/$version/$qos
        # A session first, so that nothing is lost between its beginning and the first publication.
        mosquitto_sub -h "$host" -p "$port" -V "$version" -i "m-$version-$qos" -c $([[ $version == mqttv5 ]] && echo -x 600) -q "$qos" -t "$topic" -E
        if ((qos > 0)); then
            seq 500 | mosquitto_pub -h "$host" -p "$port" -V "$version" -q "$qos" -t "$topic" -l
            timeout 20 mosquitto_sub -h "$host" -p "$port" -V "$version" -i "m-$version-$qos" -c $([[ $version == mqttv5 ]] && echo -x 600) -q "$qos" -t "$topic" -C 500 >"$work/got"
            cmp -s <(seq 500) "$work/got" || fail "$version QoS $qos: $(wc -l <"$work/got") lines"
        fi
    done
    mosquitto_pub -h "$host" -p "$port" -V "$version" -q 1 -r -t "mosquitto/$version/kept" -m "the state"
    state=$(timeout 20 mosquitto_sub -h "$host" -p "$port" -V "$version" -q 1 -t "mosquitto/$version/kept" -C 1)
    [[ $state == "the state" ]] || fail "$version: retained: $state"
done
answer=$(timeout 20 mosquitto_sub -h "$host" -p "$port" -V mqttv5 -t "\$SYS/broker/version" -C 1)
[[ $answer == headwater* ]] || fail "\$SYS: $answer"
echo "mosquitto_pub and mosquitto_sub: sessions, QoS 0 to 2, retained, \$SYS, in both versions"
