/**
 * `banyan deploy canary` under load: the percent of a route and the weight of a server, up and down in steps; back where it fails.
 */
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startProgram } from '../../support/process.ts'
import { allGood, answeredBy, HEALTH, type Stage, stageOf } from './rig.ts'

let stage: Stage

beforeEach(async () => {
  stage = await stageOf(
    ['one', 'two'],
    (legacy, port) => `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  gtin:
    servers:
      - { url: http://127.0.0.1:${port('one')}, id: one, weight: 4 }
    ${HEALTH}
default: legacy
routes:
  - id: gtin-lookup
    match: { path: "/stores/:storeId/gtins/:gtin" }
    to: gtin
    percent: 0    # nobody yet
    sticky: [header:x-client-id]
`,
  )
})
afterEach(() => stage?.stop())

const table = (): Promise<string> => readFile(stage.banyan.tableFile, 'utf8')
const QUICK = ['--hold', '500ms', '--min-requests', '5', '--ready', '2m']
/** Little traffic is enough: it tolerates what a real canary would not. */
const TOLERANT = [...QUICK, '--min-requests', '2', '--max-errors', '50%']

test('percent 0 -> 1 -> 25 -> 100 -> 50 -> 0 in steps, and no request fails', async () => {
  const before = await table()
  const load = stage.load()
  await load.more(200)
  const up = await stage.cli(['deploy', 'canary', 'gtin-lookup', '--steps', '1,25,100', ...TOLERANT])
  expect(up, up.err).toMatchObject({ code: 0 })
  const steps = up.out.split('\n').filter((line) => /^gtin-lookup: \d+ %: |^done/.test(line))
  expect(steps.map((line) => line.replace(/: (started|the new) .*/, ''))).toEqual([
    'gtin-lookup: 1 %',
    'gtin-lookup: 25 %',
    'gtin-lookup: 100 %',
    'done: route gtin-lookup: 0 -> 1 -> 25 -> 100 % to gtin',
  ])
  await load.more(100)
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null, 'one-v1']))
  const down = await stage.cli(['deploy', 'canary', 'gtin-lookup', '--steps', '50,0'])
  expect(down.out).toContain('done: route gtin-lookup: 100 -> 50 -> 0 % to gtin\n')
  await load.more(100)
  await load.stop()
  const count = allGood(load)
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null]))
  // What the step to 100 has written.
  expect((await table()).replace('    noKey: from\n', '')).toBe(before)
  console.info(`percent 0 -> 100 -> 0 in steps: ${count} requests, 0 failed`)
})

test('a server of the new version joins by weight and goes again, and no request fails', async () => {
  await stage.admin('PATCH', '/routes/gtin-lookup', { percent: 100 })
  const before = await table()
  const load = stage.load()
  await load.more(100)
  const url = `http://127.0.0.1:${stage.fleet.portOf('two')}`
  const up = await stage.cli(['deploy', 'canary', 'gtin', 'two', '--url', url, '--weights', '1,4', ...QUICK])
  expect(up, up.err).toMatchObject({ code: 0 })
  expect(up.out).toContain('done: gtin/two: weight absent -> 1 -> 4\n')
  await load.more(200)
  expect(new Set(load.outcomes.slice(-150).map(answeredBy))).toEqual(new Set([null, 'one-v1', 'two-v1']))
  expect((await stage.cli(['servers', 'drain', 'gtin', 'two', '--wait', '2m'])).out).toContain('0 requests in flight')
  await stage.fleet.end('two')
  expect((await stage.cli(['servers', 'remove', 'gtin', 'two'])).code).toBe(0)
  await load.more(100)
  await load.stop()
  const count = allGood(load)
  expect(await table()).toBe(before)
  await stage.fleet.start('two', 'v1')
  console.info(`canary by weight, up and down: ${count} requests, 0 failed`)
})

/** Answers its health checks, and 30 % of what else comes with 500. */
function ailing(): Parameters<Stage['fleet']['replaceBy']>[1] {
  let n = 0
  return (req, res) => {
    res.statusCode = req.url?.includes('health') !== true && n++ % 10 < 3 ? 500 : 200
    res.end('{"host":"ailing"}')
  }
}

test('a side that fails 30 % of its requests loses its share again', async () => {
  await stage.fleet.replaceBy('one', ailing())
  const before = await table()
  const load = stage.load()
  const words = ['deploy', 'canary', 'gtin-lookup', '--steps', '5,50,100', ...QUICK, '--hold', '20s']
  let ended = await stage.cli(words)
  // A server that has just been replaced may not be known to be healthy yet: nothing has begun.
  while (ended.err.includes('gtin is not ready')) ended = await stage.cli(words)
  expect(ended.code, ended.out + ended.err).toBe(6)
  expect(ended.out).toMatch(/^gtin-lookup: 5 %: started by anonymous\n/)
  expect(ended.out).toMatch(
    /\nreverted: gtin-lookup: [^\n]+ new side fails? [^\n]+\n$|\nreverted: gtin-lookup: \d+ of the last \d+ keys of the new side fail/,
  )
  await load.more(100)
  await load.stop()
  expect(new Set(load.outcomes.slice(-60).map(({ status }) => status))).toEqual(new Set([200]))
  expect(await table()).toBe(before)
})

test('a server that fails, or is slow, while the others are not is taken out of the table again', async () => {
  await stage.fleet.replaceBy('two', ailing())
  await stage.admin('PATCH', '/routes/gtin-lookup', { percent: 100 })
  const before = await table()
  const load = stage.load()
  const url = `http://127.0.0.1:${stage.fleet.portOf('two')}`
  const words = ['deploy', 'canary', 'gtin', 'two', '--url', url, '--weights', '1,4', ...QUICK, '--hold', '60s']
  const ended = await stage.cli(words)
  expect(ended.code, ended.out + ended.err).toBe(6)
  expect(ended.out).toMatch(/failed: \d+ of \d+ requests failed at gtin\/two\nreverted: gtin\/two: removed\n$/)
  await stage.fleet.replaceBy('two', (req, res) => {
    const ms = req.url?.includes('health') === true ? 0 : 2000
    setTimeout(() => res.end('{"host":"slow"}'), ms)
  })
  const slow = await stage.cli(words)
  expect(slow.code, slow.out + slow.err).toBe(6)
  expect(slow.out).toMatch(
    /failed: 95th percentile of at least \d+ ms, of the others at most [\d.]+ ms, at gtin\/two\nreverted: gtin\/two: removed\n$/,
  )
  await load.more(100)
  await load.stop()
  expect(await table()).toBe(before)
})

test('without traffic there is nothing to judge by: back', async () => {
  const ended = await stage.cli([
    ...['deploy', 'canary', 'gtin-lookup', '--steps', '5', '--hold', '100ms', '--ready', '300ms'],
  ])
  expect(ended.code).toBe(6)
  expect(ended.out).toMatch(
    /reverted: gtin-lookup: not enough evidence within 0.3 s \(--ready\): .*aborted by anonymous, back to 0 %\n$/,
  )
})

test('an interrupted command says what goes on, or ends it; one that dies changes nothing', async () => {
  const words = ['deploy', 'canary', 'gtin-lookup', '--steps', '5,50', '--hold', '5m']
  const ramp = async () => (await stage.admin('GET', '/routes/gtin-lookup/ramp')).json()
  const start = (...more: string[]) => {
    const admin = `127.0.0.1:${stage.banyan.adminPort}`
    return startProgram(['bin/banyan.js', ...words, '--admin', admin, ...more])
  }
  const killed = start()
  await killed.line((line) => line.startsWith('gtin-lookup: 5 %'))
  await killed.kill()
  expect(await ramp()).toMatchObject({ status: 'running', percent: 5 })
  await stage.cli(['ramp', 'abort', 'gtin-lookup', '--back'])
  const first = start()
  await first.line((line) => line.startsWith('gtin-lookup: 5 %'))
  process.kill(first.pid, 'SIGINT')
  const last = await first.line((line) => line.startsWith('stopped'))
  expect(last).toBe(
    'stopped: SIGINT: the ramp of gtin-lookup goes on at 5 %, next 50 %; to see it: banyan ramp status gtin-lookup; to end it: banyan ramp abort gtin-lookup --back',
  )
  expect(await ramp()).toMatchObject({ status: 'running', percent: 5 })
  await stage.cli(['ramp', 'abort', 'gtin-lookup', '--back'])
  const second = start('--abort-on-interrupt')
  await second.line((line) => line.startsWith('gtin-lookup: 5 %'))
  process.kill(second.pid, 'SIGTERM')
  await second.line((line) => line.startsWith('reverted: gtin-lookup: SIGTERM'))
  expect(await ramp()).toMatchObject({ status: 'aborted' })
  expect(await table()).toContain('percent: 0 ')
})

test('what is wrong is told before anything is changed', async () => {
  const before = await table()
  for (const [words, code, message] of [
    [['gtin-lookup'], 2, 'missing --steps'],
    [['gtin-lookup', '--steps', '1,many'], 2, '--steps 1,many: expected numbers'],
    [['gtin-lookup', '--steps', '5,1'], 2, '--steps: from 0 % on, each must be above'],
    [['gtin-lookup', '--steps', '1,200'], 2, '--steps: invalid percent 200'],
    [['gtin-lookpu', '--steps', '1'], 1, 'unknown route "gtin-lookpu"'],
    [['gtin', 'two', '--weights', '1'], 1, 'unknown server two of gtin (--url URL adds it)'],
    [['gtin', 'one', '--weights', '0'], 2, '--weights: invalid weight 0'],
  ] as const) {
    const ended = await stage.cli(['deploy', 'canary', ...words])
    expect(ended, words.join(' ')).toMatchObject({ code, err: expect.stringContaining(message) })
  }
  const dry = await stage.cli(['deploy', 'canary', 'gtin-lookup', '--steps', '1,100', '--dry-run'])
  expect(dry.out).toBe('done: nothing was changed (dry run): route gtin-lookup would go 0 -> 1 -> 100 % to gtin\n')
  expect(await table()).toBe(before)
})
