/**
 * `banyan deploy`: a new version brought in, step by step through the admin API; back again where it fails.
 */
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from '../command.ts'
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
  summary: 'bring a new version in, step by step, and back again where it fails',
  about: `rolling UPSTREAM: each server in turn is drained, replaced by your command, found healthy, and used again.
blue-green FROM TO: all that goes to upstream FROM goes to TO, in one revision.
canary ROUTE: its percent in steps; canary UPSTREAM SERVER: its weight in steps; each step is held and judged.
preview UPSTREAM HOST: a route for a host that only this upstream answers.

A step fails where a server is unhealthy or left out, or where the new version fails more often than the rest. Then it is taken back.
Exit codes besides the usual: 6 it failed, and everything is as it was; 7 it stopped in between, the last line says where.`,
  examples: [
    "banyan deploy rolling gtin --replace 'systemctl restart gtin-service@{id}' --revert 'rollback {id}'",
    'banyan deploy blue-green gtin-blue gtin-green --watch 1m',
    'banyan deploy canary gtin-lookup --steps 1,5,25,50,100 --hold 5m',
    'banyan deploy canary gtin gtin-4 --url http://10.0.0.7:4002 --weights 1,5,20',
    'banyan deploy preview gtin api-blue.example.test',
  ],
  flags: {
    replace: { value: 'COMMAND', help: 'rolling: replaces one server; {id} and {url} stand for it' },
    revert: { value: 'COMMAND', help: 'rolling: brings the old version of one server back' },
    only: { value: 'SERVER', help: 'rolling: this one alone; may be repeated', multiple: true },
    'allow-last': { value: '', help: 'rolling: even where no other server takes exchanges' },
    wait: { value: 'TIME', help: 'rolling: for what runs at a server to finish (30s)' },
    ready: { value: 'TIME', help: 'for a server to be healthy, or for enough exchanges to judge by (60s)' },
    watch: { value: 'TIME', help: 'how long a server (5s) or upstream (30s) that is used again is watched' },
    steps: { value: 'LIST', help: 'canary: percents of the route, one after the other' },
    weights: { value: 'LIST', help: 'canary: weights of the server' },
    url: { value: 'URL', help: 'canary: adds the server where the table has none of that id' },
    hold: { value: 'TIME', help: 'canary: how long each step is held (30s)' },
    'max-errors': { value: 'PERCENT', help: 'so much above the rest may fail (1%)' },
    'min-requests': { value: 'N', help: 'with fewer there is nothing to judge by (100)' },
    path: { value: 'PATH', help: 'preview: a path pattern (/*)' },
    id: { value: 'ID', help: 'preview: id of the route (preview-UPSTREAM)' },
    remove: { value: '', help: 'preview: end it' },
    reason: { value: 'TEXT', help: 'why; it is kept with the revisions' },
    'dry-run': { value: '', help: 'tell what would be done, and do nothing' },
    ...ADMIN_FLAG,
    ...JSON_FLAG,
  },
  counts: [1, 3],
  run: runDeploy,
}

async function runDeploy(given: Given, io: Io): Promise<ExitCode> {
  const [name = '', ...args] = given.args
  const pattern = Object.hasOwn(PATTERNS, name) ? PATTERNS[name] : undefined
  if (pattern === undefined)
    throw new CommandError(EXIT.usage, `'${name}' is none of ${Object.keys(PATTERNS).join(', ')}`)
  const [min, max] = pattern.counts
  if (args.length < min || args.length > max) {
    throw new CommandError(EXIT.usage, `wrong number of arguments; usage: banyan deploy ${name} ${pattern.usage}`)
  }
  return pattern.run(new DeployRun(name, given, io), args)
}
