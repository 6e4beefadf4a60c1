#!/usr/bin/env bash
# Makes the role and the user with which Coregister uses Elasticsearch: its own indices, and the cluster's health.
# Doing it again changes nothing but the password.
set -euo pipefail

put() {
    curl --fail --silent --show-error --output /dev/null --user "elastic:$ELASTIC_PASSWORD" \
        --header "Content-Type: application/json" --request PUT "$ELASTICSEARCH_URL/_security/$1" --data "$2"
}

put role/coregister '{
    "cluster": ["monitor"],
    "indices": [{"names": ["coregister-*"], "privileges": ["all"]}]
}'
put user/coregister '{"password": "'"$ELASTICSEARCH_ACCOUNT_PASSWORD"'", "roles": ["coregister"]}'
