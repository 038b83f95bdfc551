/**
 * `banyan deploy blue-green` and `preview` under load: a switch is one revision, and so is the way back.
 */
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { allGood, answeredBy, HEALTH, LOOKUP, type Stage, stageOf } from './rig.ts'

let stage: Stage

beforeEach(async () => {
  stage = await stageOf(
    ['blue', 'green'],
    (legacy, port) => `# A comment that must stay.
version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  blue:
    servers: [{ url: http://127.0.0.1:${port('blue')}, id: blue-1 }]   # the version of last week
    ${HEALTH}
  green:
    servers: [{ url: http://127.0.0.1:${port('green')}, id: green-1 }]
    ${HEALTH}
default: legacy
routes:
  - id: gtin-lookup
    match: { path: "/stores/:storeId/gtins/:gtin" }
    to: blue     # or green
    percent: 100
`,
  )
})
afterEach(() => stage?.stop())

const table = (): Promise<string> => readFile(stage.banyan.tableFile, 'utf8')
const revision = async (): Promise<number> =>
  ((await (await stage.admin('GET', '/routes')).json()) as { revision: number }).revision
const healthyIn = async (upstream: string): Promise<boolean> => {
  const { servers } = (await (await stage.admin('GET', `/upstreams/${upstream}/servers`)).json()) as {
    servers: { live: { state: string }[] }[]
  }
  return servers[0]?.live[0]?.state === 'up'
}

test('blue -> green -> blue: a revision each, the table as it was, and no request fails', async () => {
  const before = await table()
  const load = stage.load()
  await load.more(200)
  const there = await stage.cli(['deploy', 'blue-green', 'blue', 'green', '--watch', '1s'])
  expect(there).toMatchObject({ code: 0, err: '' })
  expect(there.out).toBe(
    'switched to green: route gtin-lookup\ndone: switched from blue to green; to switch back: banyan deploy blue-green green blue\n',
  )
  expect(await table()).toBe(before.replace('to: blue ', 'to: green '))
  await load.more(100)
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null, 'green-v1']))
  expect(await revision()).toBe(2)
  expect((await stage.cli(['deploy', 'blue-green', 'green', 'blue', '--watch', '1s'])).code).toBe(0)
  await load.more(100)
  await load.stop()
  const count = allGood(load)
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null, 'blue-v1']))
  expect([await revision(), await table()]).toEqual([3, before])
  console.info(`blue-green, there and back: ${count} requests, 0 failed`)
})

test('a green that fails its health checks after the switch: back to blue, and what used green before stays', async () => {
  const own = { id: 'new', match: { path: '/new' }, to: 'green', percent: 50 }
  expect((await stage.admin('POST', '/routes', own)).status).toBe(201)
  // It will say that it is ill, and still answer what comes. Its port is never closed while it is watched.
  let isIll = false
  let looks = 0
  await stage.fleet.replaceBy('green', (req, res) => {
    const isLook = req.url?.includes('health') === true
    if (isLook) looks++
    res.statusCode = isLook && isIll ? 503 : 200
    res.end('{"host":"green-v1"}')
  })
  await expect.poll(async () => looks > 3 && (await healthyIn('green'))).toBe(true)
  const before = await table()
  const load = stage.load()
  const deploying = stage.cli(['deploy', 'blue-green', 'blue', 'green', '--watch', '30s'])
  await load.next((outcome) => answeredBy(outcome) === 'green-v1')
  isIll = true
  const ended = await deploying
  expect(ended.code, ended.out).toBe(6)
  expect(ended.out).toMatch(
    /^failed: green: server green-1 is unhealthy: status 503$|^failed: \d+ of \d+ requests failed at green$/m,
  )
  expect(ended.out).toContain('reverted: switched back to blue: route gtin-lookup\n')
  await load.more(100)
  await load.stop()
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null, 'blue-v1']))
  expect(await table()).toBe(before)
})

test('a green that is not there is refused, and a dry run tells', async () => {
  const before = await table()
  expect((await stage.cli(['deploy', 'blue-green', 'blue', 'green', '--dry-run'])).out).toBe(
    'done: nothing was changed (dry run): would switch to green: route gtin-lookup\n',
  )
  await stage.fleet.end('green')
  while (await healthyIn('green')) await stage.admin('GET', '/livez')
  expect(await stage.cli(['deploy', 'blue-green', 'blue', 'green'])).toMatchObject({
    code: 1,
    err: 'banyan: green is not ready: green-1 is unhealthy\n',
  })
  expect(await stage.cli(['deploy', 'blue-green', 'green', 'blue'])).toMatchObject({
    code: 1,
    err: 'banyan: no route uses green\n',
  })
  expect(await stage.cli(['deploy', 'preview', 'green', 'new.example.test'])).toMatchObject({ code: 1 })
  expect([await revision(), await table()]).toEqual([1, before])
  await stage.fleet.start('green', 'v1')
})

test('preview: a host that only the new version answers, until it is ended', async () => {
  const before = await table()
  const get = async (host: string): Promise<string | null> => {
    const { request } = await import('node:http')
    return new Promise((resolve, reject) => {
      const req = request({ port: stage.banyan.port, path: LOOKUP, headers: { host } }, (res) => {
        let text = ''
        res.setEncoding('latin1').on('data', (piece: string) => {
          text += piece
        })
        res.on('end', () => resolve(answeredBy({ status: 200, text, headers: {}, error: null })))
      })
      req.on('error', reject)
      req.end()
    })
  }
  const shown = await stage.cli(['deploy', 'preview', 'green', 'new.example.test', '--path', '/stores/*'])
  expect(shown).toMatchObject({ code: 0 })
  expect(shown.out).toContain('done: new.example.test/stores/* goes to green only; to remove it: ')
  expect(await get('new.example.test')).toBe('green-v1')
  expect(await get('shop.example.test')).toBe('blue-v1')
  expect((await stage.cli(['deploy', 'preview', 'green', 'new.example.test', '--remove'])).code).toBe(0)
  expect(await get('new.example.test')).toBe('blue-v1')
  expect(await table()).toBe(before)
})
