/**
 * `banyan servers`: lists the upstreams and their servers with live figures.
 */
import type { UpstreamAnswer } from '../answers/upstreams.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, EDIT_FLAGS, flagsOf, type Given, LIST_FLAGS, unknownSubcommand } from './command.ts'
import { EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'
import { said } from './routes.ts'
import { runStep, STEPS } from './server-steps.ts'

const { reason: _, ...TABLE_FLAGS } = EDIT_FLAGS

export const servers: Command = {
  name: 'servers',
  usage: '[UPSTREAM] | add UPSTREAM URL | remove|drain|undrain UPSTREAM SERVER | weight UPSTREAM SERVER N',
  summary: 'list upstreams and servers with live figures; add, remove, drain servers',
  about: `The row of an upstream has its RATE and ERRORS of the last minute; below it each server has its STATE: up, slow-start, ejected,
unhealthy or drained. IN FLIGHT counts the requests, IDLE the open connections without one.
add, remove and weight edit the table; add --ttl leases a server outside the table, until the time is over; run it again to
renew the lease. drain sends a server no new requests and returns at once, or with --wait when none are in flight.`,
  examples: [
    'banyan servers',
    'banyan servers gtin --json',
    'banyan servers add gtin http://127.0.0.1:4004 --weight 2',
    'banyan servers add gtin http://10.0.0.7:4002 --ttl 30s',
    'banyan servers drain gtin 127.0.0.1:4004 --wait 30s && banyan servers remove gtin 127.0.0.1:4004',
  ],
  flags: {
    id: { value: 'ID', of: ['add'], help: 'id of the server (host:port)' },
    weight: { value: 'N', of: ['add'], help: 'weight relative to the other servers (1)' },
    ttl: { value: 'TIME', of: ['add'], help: 'lease time; the server is not written to the table' },
    wait: { value: 'TIME', of: ['drain'], help: 'wait at most this long until no requests are in flight' },
    reason: { value: 'TEXT', help: 'the reason, stored with the revision or logged' },
    ...flagsOf(['add', 'remove', 'weight'], TABLE_FLAGS),
    ...ADMIN_FLAG,
    ...LIST_FLAGS,
  },
  counts: [0, 4],
  lists: ({ args: [name = ''] }) => !Object.hasOwn(STEPS, name),
  run: runServers,
}

async function runServers(given: Given, io: Io): Promise<ExitCode> {
  const [name, ...rest] = given.args
  if (name !== undefined && rest.length > 0 && Object.hasOwn(STEPS, name)) return runStep(name, rest, given, io)
  if (rest.length > 0) throw unknownSubcommand(name, Object.keys(STEPS))
  const path = name === undefined ? '/upstreams' : `/upstreams/${encodeURIComponent(name)}`
  const { json } = await given.client(io).ask('GET', path)
  if (given.has('json')) {
    io.out(jsonText(json))
    return EXIT.done
  }
  const list: UpstreamAnswer[] = name === undefined ? json.upstreams : [json]
  const rows = list.flatMap(({ name: upstream, live }) => [
    [
      printable(upstream),
      ...['', '', '', '', ''],
      said(live.lastMinute?.perSecond, (value) => `${Number(value.toPrecision(3))}/s`),
      said(live.lastMinute?.errorRatio, (value) => `${Math.round(value * 10_000) / 100} %`),
    ],
    ...live.servers.map(({ id, url, weight, leased, state, health, connections }) => [
      `  ${id}`,
      url,
      leased ? `${state}, leased` : state,
      String(weight),
      String(connections.active),
      String(connections.idle),
      ...['', ''],
      printable(health?.healthy === false ? (health.last?.detail ?? '') : ''),
    ]),
  ])
  io.out(columns(COLUMNS, rows, given.layout(io)))
  return EXIT.done
}

const COLUMNS = [
  { title: 'SERVER', least: 16 },
  { title: 'URL', wide: true },
  { title: 'STATE' },
  { title: 'WEIGHT', right: true },
  { title: 'IN FLIGHT', right: true },
  { title: 'IDLE', right: true },
  { title: 'RATE', right: true },
  { title: 'ERRORS', right: true },
  { title: 'WHY', least: 10 },
] as const
