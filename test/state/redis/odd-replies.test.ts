/**
 * A Redis may say anything: a real proxy over one that does serves every request, goes on, and tells of it.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { FakeRedis, type Say, sayNothingStored } from '../../support/fake-redis.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../../support/upstream.ts'

const ODD = {
  'a simple string': '+OK\r\n',
  'a null bulk string': '$-1\r\n',
  'a null array': '*-1\r\n',
  null: '_\r\n',
  'an integer': ':42\r\n',
  'a large integer': ':9223372036854775807\r\n',
  'integers in an array': '*2\r\n:1\r\n:2\r\n',
  'an array with a null array in it': '*2\r\n$1\r\n1\r\n*-1\r\n',
  'a map': '%1\r\n$1\r\na\r\n:1\r\n',
  'a map with a null in it': '%1\r\n$1\r\na\r\n_\r\n',
  'not a number': ',nan\r\n',
  infinity: ',inf\r\n',
  'a truth value': '#t\r\n',
  'a set': '~1\r\n:1\r\n',
  'nested arrays': '*1\r\n*1\r\n*1\r\n*0\r\n',
  'an entry without fields': '*1\r\n*2\r\n$3\r\n5-1\r\n*0\r\n',
  'an entry whose fields are null': '*1\r\n*2\r\n$3\r\n5-1\r\n*-1\r\n',
  'an entry whose id is none': '*1\r\n*2\r\n$3\r\nabc\r\n*2\r\n$1\r\np\r\n$2\r\n{}\r\n',
  'an entry with a number for an id': '*1\r\n*2\r\n:5\r\n*2\r\n$1\r\np\r\n$2\r\n{}\r\n',
  'an entry with a null for a purge': '*1\r\n*2\r\n$3\r\n6-1\r\n*2\r\n$1\r\np\r\n_\r\n',
  'an entry whose purge is the JSON null': '*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\np\r\n$4\r\nnull\r\n',
  'an empty bulk string': '$0\r\n\r\n',
  'an empty array': '*0\r\n',
  'an error': '-ERR odd\r\n',
  'an error without a word': '-\r\n',
  'a blob error': '!5\r\nERR x\r\n',
  'a push of nothing': '>0\r\n:1\r\n',
  'a push of null': '>1\r\n_\r\n:1\r\n',
  'a redirection to nowhere': '-MOVED 1 nowhere:1\r\n',
  'two replies for one': '+OK\r\n+OK\r\n',
  'no RESP at all': 'HTTP/1.1 400 Bad Request\r\n\r\n',
  'a length that is none': '$abc\r\n',
  'a length below zero': '*-7\r\n',
}

const MESSAGES = {
  'a message of null': '>3\r\n$7\r\nmessage\r\n$8\r\nbanyan:0\r\n_\r\n',
  'a message on no channel': '>3\r\n$7\r\nmessage\r\n_\r\n$1\r\nx\r\n',
  'a message that is a number': '>3\r\n$7\r\nmessage\r\n$8\r\nbanyan:0\r\n:1\r\n',
  'a message without parts': '>1\r\n$7\r\nmessage\r\n',
  'a push of another kind': '>1\r\n_\r\n',
  'a subscription to null': '>3\r\n$9\r\nsubscribe\r\n_\r\n:1\r\n',
  'an end that nobody asked for': '>3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n',
  'words that mean nothing': message('something else entirely'),
  'an outcome that is none': message('done perhaps abc'),
  'a purge that is no JSON': message('purge 99-1 {'),
  'a purge that is null': message('purge 99-1 null'),
  'a purge of a URL without the URL': message('purge 99-1 {"target":{"what":"url"},"soft":false,"atMs":1}'),
  'a purge with a number for a URL': message('purge 99-1 {"target":{"what":"url","url":1},"soft":false,"atMs":1}'),
  'a purge whose id is none': message('purge abc {"target":{"what":"everything"},"soft":false,"atMs":1}'),
}

function message(text: string): string {
  return `>3\r\n$7\r\nmessage\r\n$8\r\nbanyan:0\r\n$${text.length}\r\n${text}\r\n`
}

let legacy: ScriptedUpstream
let redis: FakeRedis
let banyan: Banyan

beforeAll(async () => {
  legacy = await scriptedUpstream((request) => {
    const body = `of ${request.target}`
    return request.send(
      `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
  })
  redis = await FakeRedis.start()
  banyan = await startBanyan({
    table: `version: 1
upstreams: { legacy: { servers: [http://127.0.0.1:${legacy.port}] } }
default: legacy
routes:
  - { id: all, match: { path: /* }, to: legacy, percent: 100, cache: {} }
`,
    args: ['--redis', redis.url],
  })
})
afterEach(() => {
  redis.say = sayNothingStored
})
afterAll(async () => {
  await banyan.stop()
  await redis.stop()
  await legacy.stop()
})

let counter = 0

async function askForNew(): Promise<void> {
  const target = `/new/${counter++}`
  const client = await rawClient(banyan.port)
  const { status, body } = await client.ask(`GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
  expect([status, body.text]).toEqual([200, `of ${target}`])
}

async function admin(path: string, init: RequestInit = {}): Promise<Response> {
  return await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, init)
}

/** A breaker lets a probe through only where somebody asks. */
async function stateAfterAsking(): Promise<string> {
  await askForNew()
  const { remote } = (await (await admin('/cache')).json()) as { remote: { state: string } }
  return remote.state
}

/** Null is what SET with NX says where another process fills the key, which is then waited for: no odd reply at all. */
function odd(reply: string): Say {
  const isNull = /^([$*]-|_)/.test(reply)
  return ([name = '']) => (name === 'SET' && isNull ? '+OK\r\n' : reply)
}

/** Asks, and purges, until Redis has been asked several times; then lets it come to itself. */
async function useRedis(say: Say): Promise<void> {
  await expect.poll(stateAfterAsking).toBe('up')
  redis.say = say
  const before = redis.asked
  await expect
    .poll(async () => {
      await askForNew()
      const purge = { method: 'POST', body: '{"url":"/x"}', headers: { 'content-type': 'application/json' } }
      expect((await admin('/cache/purge', purge)).status).toBe(200)
      return redis.asked - before
    })
    .toBeGreaterThan(4)
  redis.say = sayNothingStored
  await expect.poll(stateAfterAsking).toBe('up')
}

test.each(Object.entries(ODD))('Redis says %s to every command', async (_, reply) => {
  await useRedis(odd(reply))
})

test.each(['XRANGE', 'XREVRANGE', 'XADD', 'SET', 'GET', 'HGETALL', 'EVAL', 'PUBLISH', 'DEL'])(
  'Redis answers %s with what belongs to another command',
  async (name) => {
    for (const reply of Object.values(ODD)) {
      redis.say = (words) => (words[0] === name ? odd(reply)(words) : sayNothingStored(words))
      await askForNew()
    }
    // From one whose log can't be read nothing is taken.
    redis.say = sayNothingStored
    await useRedis(sayNothingStored)
  },
)

test.each(Object.entries(MESSAGES))('a subscriber is told %s', async (_, raw) => {
  await useRedis(sayNothingStored)
  await expect.poll(() => redis.tell(raw)).toBeGreaterThan(0)
  await useRedis(sayNothingStored)
})

test('it is told in the log, once a minute at most', async () => {
  await useRedis(() => '*2\r\n:1\r\n:2\r\n')
  const times = banyan.log
    .filter((line) => line.includes('treated as a miss'))
    .map((line) => Date.parse((JSON.parse(line) as { time: string }).time))
  expect(times.length).toBeGreaterThan(0)
  for (let i = 1; i < times.length; i++) expect(times[i]! - times[i - 1]!).toBeGreaterThan(59_000)
  expect(banyan.log.join('\n')).not.toContain('uncaught')
})
