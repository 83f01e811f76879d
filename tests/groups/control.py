"""control: managing the gateway. The REST door as strangers see it, permissions as NFS clients feel them, changes beside clients that
work, the two command lines, and what is kept over backups, databases and certificates."""

import control_access
import control_cli
import control_commands
import control_kept
import control_live
import control_schema


def run(group):
    for module in (control_kept, control_schema, control_access, control_live, control_cli, control_commands):
        for case in module.CASES:
            if group.options.only in case.__name__:
                case(group)
