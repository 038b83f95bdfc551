#!/bin/sh
# Makes the certificates of the TLS tests anew: a CA, a server (legacy.test, 127.0.0.1), a client, and a CA that nobody trusts.
# They guard nothing: the keys are public. Valid for 100 years.
set -eu
cd "$(dirname "$0")"
DAYS=36500
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1-key.pem"; }
authority() {
  key "$1"
  openssl req -x509 -new -key "$1-key.pem" -days $DAYS -subj "/CN=$2" -addext 'keyUsage=critical,keyCertSign' -out "$1.pem"
}
signed() {
  key "$1"
  openssl req -new -key "$1-key.pem" -subj "/CN=$2" |
    openssl x509 -req -CA ca.pem -CAkey ca-key.pem -days $DAYS -extfile "$3" -out "$1.pem"
}
authority ca 'banyan test CA'
authority other-ca 'another CA'
names=$(mktemp)
echo 'subjectAltName=DNS:legacy.test,IP:127.0.0.1' >"$names"
signed server legacy.test "$names"
: >"$names"
signed client banyan "$names"
# Nothing more is signed with these.
rm "$names" ca-key.pem other-ca-key.pem
