#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compile_commands.py 'CC FLAGS' FILE... : a compilation database on standard output."""
import json, os, sys
flags, files = sys.argv[1], sys.argv[2:]
here = os.getcwd()
json.dump([{'directory': here, 'file': f, 'command': f'{flags} -c {f}'} for f in files], sys.stdout, indent=1)
