#!/bin/sh
# What the tests run against: a Java and Maven for Apache Kafka, Prometheus, Alertmanager, Chromium, axe-core, Kafka itself.
# Debian's packages are installed where a command is missing and that is allowed; else they are named.
set -eu
cd "$(dirname "$0")/.."

missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need java default-jre-headless
need mvn maven
need prometheus prometheus
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need amtool prometheus-alertmanager
need chromium chromium
need openssl openssl
need curl curl
need npm npm
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

install_missing() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "the tests need these, by their Debian names: $missing" >&2
        exit 1
    fi
    root=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "please install what the tests need: sudo apt-get install $missing" >&2
            exit 1
        fi
        root="sudo"
    fi
    echo "installing $missing" >&2
    # Tests start their own servers on ports of their own: packages shall not start theirs.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
        $root chmod 755 $policy
        # shellcheck disable=SC2064 # as they are now
        trap "$root rm -f $policy" EXIT
    fi
    log=$(mktemp)
    for arguments in "update" "install -y --no-install-recommends $missing"; do
        # shellcheck disable=SC2086 # several arguments
        if ! $root env DEBIAN_FRONTEND=noninteractive apt-get -qq $arguments >"$log" 2>&1 </dev/null; then
            cat "$log" >&2
            echo "apt-get $arguments failed" >&2
            exit 1
        fi
    done
    rm -f "$log"
    # Nor at the next start of this machine.
    for service in prometheus prometheus-alertmanager; do
        case " $missing " in *" $service "*)
            if command -v systemctl >/dev/null 2>&1; then
                $root systemctl disable --quiet "$service" 2>/dev/null || true
            fi
            ;;
        esac
    done
}

if [ -n "${missing% }" ]; then
    install_missing
fi
# What looks at the page for people with a screen reader: one package, locked in tests/browser.
.venv/bin/python -m tests.integration.accessibility >&2
if [ -z "${KAFKA_BOOTSTRAP:-}" ]; then
    .venv/bin/python -m tests.integration.broker install >&2
fi
