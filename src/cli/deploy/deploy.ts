/**
 * `banyan deploy`: rolls out a new version step by step through the admin API, and rolls back if it fails.
 */
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG, unknownSubcommand } from '../command.ts'
import { CommandError, EXIT, type ExitCode, type Io } from '../io.ts'
import { blueGreen } from './blue-green.ts'
import { canary } from './canary.ts'
import { preview } from './preview.ts'
import { rolling } from './rolling.ts'
import { DeployRun } from './run.ts'

interface Pattern {
  readonly usage: string
  readonly counts: readonly [number, number]
  run(run: DeployRun, args: readonly string[]): Promise<ExitCode>
}

const PATTERNS: Readonly<Record<string, Pattern>> = {
  rolling: { usage: "UPSTREAM --replace 'COMMAND'", counts: [1, 1], run: rolling },
  'blue-green': { usage: 'FROM TO', counts: [2, 2], run: blueGreen },
  canary: { usage: 'ROUTE --steps 1,5,25 | UPSTREAM SERVER --weights 1,5', counts: [1, 2], run: canary },
  preview: { usage: 'UPSTREAM HOST', counts: [2, 2], run: preview },
}

export const deploy: Command = {
  name: 'deploy',
  usage: 'rolling | blue-green | canary | preview ...',
  forms: Object.entries(PATTERNS).flatMap(([name, { usage }]) => usage.split(' | ').map((form) => `${name} ${form}`)),
  summary: 'roll out a new version step by step, with automatic rollback',
  about: `rolling UPSTREAM: drains each server in turn, replaces it with your command, waits until it is healthy, and uses it again.
blue-green FROM TO: switches everything from upstream FROM to TO, in one revision.
canary ROUTE: raises its percent in steps: a ramp of the proxy, which goes on without this command; canary UPSTREAM SERVER: its
weight; each step is held and checked.
preview UPSTREAM HOST: adds a route that sends a host to this upstream only.

A step fails if a server is unhealthy or ejected, or if the new version is shown to fail, or to answer 4xx or 3xx, more often than the rest, or to be slower. It is
then rolled back.
Additional exit codes: 6 failed and rolled back; 7 stopped halfway, the last line says where.`,
  examples: [
    "banyan deploy rolling gtin --replace 'systemctl restart gtin-service@{id}' --revert 'rollback {id}'",
    'banyan deploy blue-green gtin-blue gtin-green --watch 1m',
    'banyan deploy canary gtin-lookup --steps 1,5,25,50,100 --hold 5m',
    'banyan deploy canary gtin gtin-4 --url http://10.0.0.7:4002 --weights 1,5,20',
    'banyan deploy preview gtin api-blue.example.test',
  ],
  flags: {
    replace: {
      value: 'COMMAND',
      of: ['rolling'],
      help: 'command that replaces one server; {id} and {url} are replaced',
    },
    revert: { value: 'COMMAND', of: ['rolling'], help: 'command that restores the old version of one server' },
    only: { value: 'SERVER', of: ['rolling'], help: 'only this server; may be repeated', multiple: true },
    'allow-last': { value: '', of: ['rolling'], help: 'even if no other server is in use' },
    wait: { value: 'TIME', of: ['rolling'], help: 'for requests in flight to finish (30s)' },
    ready: {
      value: 'TIME',
      help: 'for a server to become healthy, or for enough requests to compare (60s; canary of a route: without limit)',
    },
    watch: { value: 'TIME', help: 'how long to watch a server (5s) or upstream (30s) after a step' },
    steps: { value: 'LIST', of: ['canary'], help: 'percents of the route' },
    weights: { value: 'LIST', of: ['canary'], help: 'weights of the server' },
    url: { value: 'URL', of: ['canary'], help: 'adds the server if it is not in the table' },
    hold: { value: 'TIME', of: ['canary'], help: 'how long to hold each step (30s)' },
    'abort-on-interrupt': {
      value: '',
      of: ['rolling', 'blue-green', 'canary'],
      help: 'on SIGINT, SIGTERM or SIGHUP undo what was done',
    },
    'max-errors': {
      value: 'PERCENT',
      help: 'tolerated error rate above that of the rest (0.5%)',
    },
    'max-slower': {
      value: 'TIME',
      help: 'servers: how much longer the 95th percentile of response times may be than that of the rest (100ms)',
    },
    'min-requests': {
      value: 'N',
      help: 'minimum number of requests to compare (100; canary of a route: 50 different keys)',
    },
    path: { value: 'PATH', of: ['preview'], help: 'a path pattern (/*)' },
    id: { value: 'ID', of: ['preview'], help: 'id of the route (preview-UPSTREAM)' },
    remove: { value: '', of: ['preview'], help: 'remove it' },
    reason: { value: 'TEXT', help: 'the reason, stored with the revisions' },
    'dry-run': { value: '', help: 'show what would be done, without doing it' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [1, 3],
  run: runDeploy,
}

async function runDeploy(given: Given, io: Io): Promise<ExitCode> {
  const [name = '', ...args] = given.args
  const pattern = Object.hasOwn(PATTERNS, name) ? PATTERNS[name] : undefined
  if (pattern === undefined) throw unknownSubcommand(name, Object.keys(PATTERNS))
  const [min, max] = pattern.counts
  if (args.length < min || args.length > max) {
    throw new CommandError(EXIT.usage, `wrong number of arguments; usage: banyan deploy ${name} ${pattern.usage}`)
  }
  return pattern.run(new DeployRun(name, given, io), args)
}
