// The command line of `mesoflare-agent`: flags, signals, exit codes.
import { Command, CommanderError, Option } from "commander";
import { MESOFLARE_VERSION } from "#protocol/version.ts";
import { Agent } from "./agent.ts";
import { errorText } from "./checkpoint/durable-file.ts";
import { readConfig } from "./config.ts";
import { EXIT_CODE, type ExitCode, StartError } from "./exit-code.ts";
import { LOG_LEVELS, makeLog } from "./log.ts";

const EXIT_CODES_HELP = `
Every flag can also be given in the environment: --work-dir as MESOFLARE_WORK_DIR, and so on. Flags win.

--resources, --attributes and --domain may also name a file that holds the text: file:///etc/mesoflare/resources.json.
--resources takes Mesos' JSON too, which can offer disks of their own: a directory in parts, or a mount only as a whole:
  [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}, "role": "web"},
   {"name": "disk", "type": "SCALAR", "scalar": {"value": 50000},
    "disk": {"source": {"type": "PATH", "path": {"root": "/mnt/data"}}}},
   {"name": "disk", "type": "SCALAR", "scalar": {"value": 100000},
    "disk": {"source": {"type": "MOUNT", "mount": {"root": "/mnt/ssd"}}}}]
What frameworks reserved, and their volumes, stay when the agent is started again: its resources must still hold them.

Signals:
  SIGTERM, SIGINT  stop; tasks run on and are taken over at the next start
  SIGUSR1          end all tasks, report them, then stop; the agent keeps its id
  SIGUSR2          leave the cluster for good: the same, then unregister; the next start registers as a new agent

Exit codes:
  0  stopped by a signal
  1  something unexpected, see the log
  2  wrong usage or configuration, or another agent on the work directory or port
  3  the plane refused the credential
  4  the plane refused this agent, e.g. because it belongs to another cluster; tasks run on
  5  the plane removed this agent: its tasks were ended; the next start registers as a new one
  6  SIGUSR2 could not unregister the agent, because the plane did not answer: the id is still registered
`;

function makeCommand(): Command {
  const flag = (flags: string, name: string, description: string): Option =>
    new Option(flags, description).env(`MESOFLARE_${name}`);
  return new Command("mesoflare-agent")
    .description("Offers this host's resources to a Mesoflare plane and runs the tasks it is given.")
    .version(MESOFLARE_VERSION)
    .addOption(flag("--plane <url>", "PLANE", "URL of the plane (required)"))
    .addOption(flag("--credential <file>", "CREDENTIAL", 'file with {"principal": "…", "secret": "…"} (required)'))
    .addOption(
      flag(
        "--work-dir <dir>",
        "WORK_DIR",
        "checkpoint and sandboxes (default: /var/lib/mesoflare, or ~/.local/state/mesoflare-agent unless root)",
      ),
    )
    .addOption(flag("--hostname <name>", "HOSTNAME", "name to report (default: the host's)"))
    .addOption(flag("--port <number>", "PORT", "port of the agent's own API on 127.0.0.1, 0 for none (default: 5051)"))
    .addOption(
      flag(
        "--resources <text>",
        "RESOURCES",
        "e.g. cpus:2;mem:1024;ports:[31000-32000], with a role as cpus(web):2, or JSON: see below (default for each: what the host has)",
      ),
    )
    .addOption(flag("--attributes <text>", "ATTRIBUTES", "e.g. rack:r1;zone:eu"))
    .addOption(
      flag(
        "--domain <json>",
        "DOMAIN",
        'where the host is: {"fault_domain": {"region": {"name": "…"}, "zone": {"name": "…"}}}',
      ),
    )
    .addOption(
      flag(
        "--cgroups-root <name>",
        "CGROUPS_ROOT",
        "cgroup in each hierarchy that holds the tasks' (default: mesoflare)",
      ),
    )
    .addOption(flag("--log-format <format>", "LOG_FORMAT", "pretty or json (default: pretty on a terminal)"))
    .addOption(flag("--log-level <level>", "LOG_LEVEL", `${LOG_LEVELS.join(", ")} (default: info)`))
    .addHelpText("after", EXIT_CODES_HELP)
    .allowExcessArguments(false)
    .exitOverride();
}

/** Runs the agent until it is stopped; resolves with the exit code. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  const command = makeCommand();
  try {
    command.parse([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODE.stopped : EXIT_CODE.configuration;
    throw error;
  }
  try {
    return await runAgent(command.opts());
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`mesoflare-agent: ${error.message}\n`);
    return error.code;
  }
}

async function runAgent(options: unknown): Promise<ExitCode> {
  const config = readConfig(options);
  const log = makeLog({ level: config.logLevel, format: config.logFormat });
  for (const warning of config.warnings) log.warn(warning);
  // A bug in one corner must not go on with half a state: end, and let the service manager start again from disk.
  const onUnexpected = (error: unknown): never => {
    log.fatal(
      { error: error instanceof Error ? error.stack : errorText(error) },
      "unexpected: the agent ends, tasks run on",
    );
    process.exit(EXIT_CODE.unexpected);
  };
  process.on("uncaughtException", onUnexpected);
  process.on("unhandledRejection", onUnexpected);

  const agent = await Agent.start(config, log);
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      log.info(`${signal}: stopping, tasks run on`);
      void agent.stop();
    });
  process.on("SIGUSR1", () => void agent.killAllAndStop());
  process.on("SIGUSR2", () => void agent.unregisterAndStop());
  return agent.ended;
}
