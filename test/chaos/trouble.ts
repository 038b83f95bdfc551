/**
 * The kinds of trouble that one process can be in, each for a while: a Redis, an upstream, a table file and an admin API that
 * are given anything.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { FakeRedis } from '../support/fake-redis.ts'
import { sayNothingStored } from '../support/fake-redis.ts'
import type { Random } from './random.ts'

/** What trouble is made with. */
export interface Scene {
  readonly random: Random
  readonly redis: FakeRedis
  /** Of the proxy. */
  readonly port: number
  readonly adminPort: number
  readonly tableFile: string
  /** What the table says when all is well. */
  readonly table: string
  /** The only ports of loopback that a table may name. */
  readonly ports: readonly number[]
}

/** One kind of trouble, made until the time is over. */
export type Trouble = (scene: Scene, untilMs: number) => Promise<void>

const METHODS = ['GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'OPTIONS', 'PURGE']
const PATHS = ['/g/a', '/g/b', '/c/a', '/c/b', '/c/c', '/f/a', '/f/b']
const FIELDS = [
  'Accept: a',
  'X-A: b',
  'Range: bytes=0-3',
  'If-None-Match: "a"',
  'Cache-Control: no-cache',
  'Authorization: Negotiate abc',
  'Connection: upgrade\r\nUpgrade: x',
  'Cookie: sid=1; sid=2',
  'Expect: 100-continue',
  'X-Forwarded-For: 203.0.113.7:1, [2001:db8::1]:7',
]

/** Asks for anything, over a connection of its own, and perhaps leaves before there is an answer. */
async function ask({ random, port }: Scene): Promise<void> {
  const method = random.pick(METHODS)
  const fields = FIELDS.filter(() => random.chance(0.15))
  const withBody = method === 'POST' || method === 'PUT'
  const head = [`${method} ${random.pick(PATHS)}?${random.below(20)} HTTP/1.1`, 'Host: a.test', ...fields]
  const body = withBody ? random.bytes(random.length(50_000)) : ''
  const framing = withBody ? [`Content-Length: ${body.length}`] : []
  const text = `${[...head, ...framing].join('\r\n')}\r\n\r\n${body}`
  await say(port, random.chance(0.1) ? random.mutate(text) : text, random.below(200))
}

/** Sends bytes, reads for a while, and leaves. */
function say(port: number, text: string, forMs: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'))
    socket.on('error', () => {})
    socket.on('data', () => {})
    const timer = setTimeout(() => socket.destroy(), forMs)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** So many at a time do something again and again. */
async function together(count: number, untilMs: number, act: () => Promise<void>): Promise<void> {
  const one = async (): Promise<void> => {
    while (Date.now() < untilMs) await act()
  }
  await Promise.all(Array.from({ length: count }, one))
}

const redisTrouble: Trouble = async (scene, untilMs) => {
  const { random, redis } = scene
  redis.say = (words) => (random.chance(0.2) ? sayNothingStored(words) : random.chance(0.05) ? null : random.resp())
  const messages = setInterval(() => {
    const text = random.pick([
      `purge ${random.below(1e6)}-1 ${JSON.stringify(random.json())}`,
      `done ${random.bytes(4)} x`,
      random.bytes(random.length(100)),
      random.mutate('purge 9-1 {"target":{"what":"url","url":"/c/a"},"soft":false,"atMs":1}'),
    ])
    redis.tell(
      random.chance(0.5) ? random.resp() : `>3\r\n$7\r\nmessage\r\n$8\r\nbanyan:0\r\n$${text.length}\r\n${text}\r\n`,
    )
  }, 20)
  await together(4, untilMs, () => ask(scene))
  clearInterval(messages)
  redis.say = sayNothingStored
}

const upstreamTrouble: Trouble = async (scene, untilMs) => {
  await together(8, untilMs, () => ask(scene))
}

const tableTrouble: Trouble = async (scene, untilMs) => {
  const { random, table, tableFile } = scene
  await Promise.all([
    together(2, untilMs, () => ask(scene)),
    (async () => {
      while (Date.now() < untilMs) {
        const text = randomTable(scene)
        if (staysOnLoopback(text, scene)) {
          const aside = `${tableFile}.next`
          const path = random.chance(0.7) ? aside : tableFile
          writeFileSync(path, text, 'latin1')
          if (path === aside) renameSync(aside, tableFile)
        }
        await wait(random.below(300))
      }
    })(),
  ])
  writeFileSync(tableFile, table)
}

function randomTable({ random, table }: Scene): string {
  switch (random.below(7)) {
    case 0:
      return random.bytes(random.length(20_000))
    case 1:
      return `${table}${'  - { id: x, match: { path: /x }, too: u }\n'.repeat(random.length(2000))}`
    case 2:
      return `${table}    ${'['.repeat(random.length(20_000))}`
    case 3:
      return `${table}extra: ${JSON.stringify(random.json())}\n`
    case 4:
      return `${table}${'\n'.repeat(random.length(2_000_000))}`
    default:
      return random.mutate(table)
  }
}

/** A changed table may name another server: nothing but this test's own may be asked. */
function staysOnLoopback(text: string, { ports }: Scene): boolean {
  const urls = text.match(/https?|servers/gi) ?? []
  const own = text.match(/http:\/\/127\.0\.0\.1:[0-9]+(?=[\]}, \n])/g) ?? []
  const named = urls.filter((word) => word.toLowerCase() !== 'servers').length
  return named === own.length && own.every((url) => ports.includes(Number(url.slice(17)))) && !/[\\"'|>]/.test(text)
}

const JSON_PLACES = [
  ['PATCH', '/routes/cached?dryRun=true'],
  ['PATCH', '/routes/cached'],
  ['PUT', '/routes/fallen?dryRun=true'],
  ['POST', '/routes?dryRun=true'],
  ['POST', '/explain'],
  ['POST', '/cache/purge'],
  ['POST', '/revisions/1/restore'],
  ['POST', '/upstreams/garbage/servers/s1/drain'],
  ['PATCH', '/upstreams/garbage/servers/s1'],
] as const
const READ = [
  '/routes',
  '/upstreams',
  '/metrics',
  '/cache',
  '/revisions',
  '/exchanges',
  '/openapi.json',
  '/routes.yaml',
  '/readyz',
]
const BODIES = [
  '{"percent":5}',
  '{"cache":{"ttl":"5s"}}',
  '{"id":"new","match":{"path":"/new"},"to":"good","percent":1}',
  '{"method":"GET","target":"/c/a","host":"a.test","headers":[["X-A","b"]]}',
  '{"url":"/c/a"}',
  '{"weight":5}',
  '{"sticky":["cookie:a","ip"]}',
]

const adminTrouble: Trouble = async (scene, untilMs) => {
  const { adminPort, random } = scene
  await together(3, untilMs, async () => {
    const what = random.below(10)
    const [method, path] = random.pick(JSON_PLACES)
    if (what < 4) await send(adminPort, method, path, 'application/json', random.mutate(random.pick(BODIES)))
    else if (what < 6) await send(adminPort, method, path, 'application/json', JSON.stringify(random.json(5)))
    else if (what < 7) await send(adminPort, method, path, 'application/json', largeBody(random))
    else if (what < 8) await send(adminPort, 'PUT', '/routes.yaml?dryRun=true', 'application/yaml', largeTable(scene))
    else if (what < 9)
      await say(
        adminPort,
        `GET ${random.pick(READ)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`.repeat(random.length(200)),
        300,
      )
    else await say(adminPort, random.mutate('GET /routes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'), 50)
  })
  writeFileSync(scene.tableFile, scene.table)
}

function largeBody(random: Random): string {
  const count = 1 + random.length(20_000)
  return random.pick([
    () => `{"sticky":[${'1,'.repeat(count)}1]}`,
    () => `{${Array.from({ length: count }, (_, i) => `"key${i}":1`).join(',')}}`,
    () => `{"match":{"headers":{${Array.from({ length: count }, (_, i) => `"x-${i}":"a"`).join(',')}}}}`,
    () => `${'['.repeat(count)}${']'.repeat(count)}`,
  ])()
}

function largeTable(scene: Scene): string {
  const { random, table } = scene
  const count = 1 + random.length(4000)
  const upstreams = Array.from(
    { length: count },
    (_, i) => `  up${i}: { servers: [http://127.0.0.1:${scene.ports[0]}] }`,
  )
  const routes = Array.from({ length: count }, (_, i) => `  - { id: r${i}, match: { path: /r${i} }, to: upp${i} }`)
  const text = random.pick([
    () => randomTable(scene),
    () => `version: 1\nupstreams:\n${upstreams.join('\n')}\ndefault: up0\nroutes:\n${routes.join('\n')}\n`,
    () => `${table}${'\n'.repeat(random.length(6_000_000))}`,
  ])()
  return staysOnLoopback(text, scene) ? text : table
}

async function send(port: number, method: string, path: string, type: string, body: string): Promise<void> {
  try {
    const headers = { 'content-type': type }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      body: Buffer.from(body, 'latin1'),
      headers,
    })
    await response.arrayBuffer()
  } catch {
    // A connection that was cut is as good an answer as any here: what counts is who is still alive.
  }
}

/** The kinds, and how long a stall of other clients each may make, in milliseconds. */
export const TROUBLES: Readonly<Record<string, { readonly make: Trouble; readonly stallMs: number }>> = {
  redis: { make: redisTrouble, stallMs: 200 },
  upstream: { make: upstreamTrouble, stallMs: 200 },
  table: { make: tableTrouble, stallMs: 200 },
  admin: { make: adminTrouble, stallMs: 100 },
}
