#!/bin/sh
# The first argument is the task. The others are its parameters, each as --NAME=PATH.
set -eu

task=$1
shift
for argument; do
    case $argument in
    --name=*) name=${argument#*=} ;;
    --greeting=*) greeting=${argument#*=} ;;
    *)
        echo "unknown argument: $argument" >&2
        exit 2
        ;;
    esac
done

case $task in
greet) echo "Hello, $(cat "$name")!" | tee "$greeting" ;;
*)
    echo "unknown task: $task" >&2
    exit 2
    ;;
esac
