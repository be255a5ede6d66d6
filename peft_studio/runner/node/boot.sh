#!/usr/bin/env bash
# PEFT Studio: what a rented machine runs as it starts, from brakes to training. It holds no secret, and a person may run it by hand:
# docs/renting-by-hand.md. In this order: brake 2, brake 1, the door, what training needs. Secrets come in the environment, or in a file
# that its owner alone can read; from here they go on by standard input, so that no other process has them in its environment.
set -u
umask 077
trap '' PIPE HUP

#@settings

PS_DIR=${PS_DIR:-${HOME:-/root}/peft-studio}
PS_WORK=$PS_DIR/home/runs
PS_ENDS_ITSELF=${PS_END_KEY:+yes}
[ -n "$PS_END_KEY" ] || PS_END_URL=''
export -n PS_END_KEY PS_TOKEN PS_TLS
export PS_DIR PS_WORK PS_RUN PS_PORT PS_BIND PS_DOOR PS_LEASE_S PS_KEEP_S PS_SAVE_S PS_IDLE_S PS_LIFETIME_S PS_END_METHOD PS_END_URL PS_SHUTDOWN PS_ENDS_ITSELF

# --- brake 2: the longest lifetime. It needs no file, nothing installed, and no other process of ours. ---

PS_END_CODE='#@end.py
'
export PS_END_CODE

uptime_s() { # since the machine started: a step of the clock does not change it
  local up _
  if read -r up _ < /proc/uptime; then UP=${up%.*}; fi
} 2>/dev/null

say() { { printf '%s\n' "$*"; printf '%s\n' "$*" >> "$PS_DIR/boot.log"; } 2>/dev/null; }

lifetime() {
  local before=0 used=0 slept=0 began try=0
  { read -r before < "$PS_DIR/used"; } 2>/dev/null # a container that starts again has no second life
  [[ $before =~ ^[0-9]+$ ]] || before=0
  uptime_s
  began=$UP
  while [ "$used" -lt "$PS_LIFETIME_S" ]; do
    sleep 1 && slept=$((slept + 1))
    uptime_s
    used=$((UP - began))
    [ "$used" -ge "$slept" ] || used=$slept # whatever /proc says, time that was slept has passed
    used=$((10#$before + used))
    printf '%010d\n' "$used" 2>/dev/null 1<> "$PS_DIR/used" # in its place: that works on a full disk, too
  done 2>/dev/null
  say "brake 2: this machine has had its $PS_LIFETIME_S s."
  while :; do
    say "$(printf %s "$PS_END_KEY" | PS_END_TRY=$try timeout 120 python3 -c "$PS_END_CODE" 2>&1)"
    sleep $((try < 4 ? 2 ** try : 15))
    try=$((try + 1))
  done
}

UP=0
mkdir -p "$PS_WORK/$PS_RUN" 2>/dev/null
lifetime &

# --- files: what runs before our package is here ---

exec > >(tee -a "$PS_DIR/boot.log") 2>&1
phase() { local up _; read -r up _ < /proc/uptime; printf '%s %s\n' "$up" "$*" >> "$PS_DIR/phases"; }
: > "$PS_DIR/phases" # of this start: a machine that was started anew counts from 0
phase booting
: >> "$PS_DIR/lease"
mkdir -p "$PS_DIR/boot/peft_studio/runner/node"
cd "$PS_DIR" || { # stay: brake 2 has to ask the provider
  say "Nothing can be written to $PS_DIR."
  wait
}
for package in peft_studio peft_studio/runner peft_studio/runner/node; do
  : > "boot/$package/__init__.py" # or another PEFT Studio of this machine would come before ours
done
#@files

ours() { PYTHONPATH=$PS_DIR/boot python3 -m "peft_studio.runner.node.$1"; }
keep() { # start again what dies
  while :; do
    "$@"
    sleep 1
  done
}

# --- brake 1: the lease ---

brake_1() { printf %s "$PS_END_KEY" | ours lease; }
keep brake_1 &

# --- the door ---

while [ -z "${PS_TOKEN:-}" ]; do # NAME value, a line each
  if [ -r "$PS_SECRETS_FILE" ]; then
    while read -r name value; do
      case $name in PS_TOKEN | PS_TLS) printf -v "$name" %s "$value" ;; esac
    done < "$PS_SECRETS_FILE"
    rm -f "$PS_SECRETS_FILE"
  fi
  [ -n "${PS_TOKEN:-}" ] || sleep 0.2
done
door() { printf '%s\n%s\n' "$PS_TOKEN" "${PS_TLS:-}" | ours door; }
keep door &

# --- what training needs ---

phase waiting
until [ -s "$PS_DIR/site" ]; do sleep 0.1; done
phase installing
for PYTHON in python3 python3.12 python3.11 python3.13; do
  "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break
done
for pause in 2 10 0; do
  PYTHONPATH=$(< "$PS_DIR/site") "$PYTHON" -m peft_studio.runner.node.install && break
  sleep $pause
done
if [ -s "$PS_DIR/python" ]; then phase ready; else phase failed; fi
wait
