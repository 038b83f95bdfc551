/**
 * Two proxies as processes of their own on one Redis: a herd over both, a share that is raised and taken back, and a Redis
 * that is killed under load.
 */
import { Agent, get } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { type ScriptedUpstream, scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'
import { reply } from './rig.ts'

let redis: RedisServer
let legacy: ScriptedUpstream
let modern: ScriptedUpstream
let both: Banyan[]
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
/** The name is part of the key: both are asked by the same one. */
const HOST = { host: 'shop.test' }

const table = (percent: number): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - id: lookup
    match: { path: /gtins/:gtin }
    to: modern
    percent: ${percent}
    sticky: [param:gtin]
    cache: { ttl: 10m }
`

beforeAll(async () => {
  ;[redis, legacy, modern] = await Promise.all([startRedis(), scriptedUpstream(), scriptedUpstream()])
  // A deadline that a busy machine keeps: what is shown here is not how long Redis may take.
  const args = ['--redis', redis.url, '--redis-deadline', '20s', '--expose-cache-status']
  both = await Promise.all([0, 1].map(() => startBanyan({ table: table(0), args })))
  await Promise.all(both.map((one) => one.program.line((line) => line.includes('"state":"up"'))))
})

afterAll(async () => {
  agent.destroy()
  expect(await Promise.all(both.map((one) => one.stop()))).toEqual([0, 0])
  await Promise.all([redis.stop(), legacy.stop(), modern.stop()])
})

interface Got {
  readonly status: number
  readonly text: string
  readonly cache: string
}

/** GET over a kept-alive connection. */
function ask(of: Banyan, path: string): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = get({ port: of.port, host: '127.0.0.1', path, agent, headers: HOST }, (response) => {
      let text = ''
      response.setEncoding('latin1').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () =>
        resolve({ status: response.statusCode as number, text, cache: String(response.headers['cache-status']) }),
      )
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

async function setPercent(of: Banyan, percent: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${of.adminPort}/routes/lookup`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify({ percent }),
  })
  expect(response.status, await response.text()).toBe(200)
}

const answering = (side: string) => (request: UpstreamRequest) =>
  request.send(reply(200, [], `${side} ${request.target}`))

test('a herd over both makes one request', async () => {
  const seen: UpstreamRequest[] = []
  let arrived = (): void => {}
  const first = new Promise<void>((resolve) => {
    arrived = resolve
  })
  legacy.handler = (request) => {
    seen.push(request)
    arrived()
  }
  const herd = Promise.all(Array.from({ length: 60 }, (_, i) => ask(both[i % 2] as Banyan, '/gtins/1')))
  await first
  await seen[0]!.send(reply(200, [], 'one for all'))
  for (const got of await herd) expect(got).toMatchObject({ status: 200, text: 'one for all' })
  expect(seen).toHaveLength(1)
})

test('a day: legacy cached, the share raised, and taken back', async () => {
  legacy.handler = answering('legacy')
  modern.handler = answering('modern')
  const [a, b] = both as [Banyan, Banyan]
  const gtins = Array.from({ length: 40 }, (_, i) => `/gtins/${9000 + i}`)
  const sides = async (of: Banyan) => {
    const got = await Promise.all(gtins.map((path) => ask(of, path)))
    // Each answer is that of the side and the path it was asked of.
    for (const [i, { text }] of got.entries()) expect([`legacy ${gtins[i]}`, `modern ${gtins[i]}`]).toContain(text)
    return {
      of: got.map(({ text }) => text.split(' ')[0]),
      hits: got.filter(({ cache }) => cache.includes('hit')).length,
    }
  }
  expect((await sides(a)).of).toEqual(gtins.map(() => 'legacy'))
  for (const one of both) await setPercent(one, 50)
  const half = await sides(a)
  expect(new Set(half.of)).toEqual(new Set(['legacy', 'modern']))
  // What stayed on legacy is still stored; what moved is not answered by what legacy had said.
  expect(half.hits).toBe(half.of.filter((side) => side === 'legacy').length)
  expect((await sides(b)).of).toEqual(half.of)
  for (const one of both) await setPercent(one, 100)
  expect((await sides(b)).of).toEqual(gtins.map(() => 'modern'))

  modern.handler = answering('modern again')
  await setPercent(a, 0)
  await setPercent(b, 0)
  expect((await sides(b)).of).toEqual(gtins.map(() => 'legacy'))
  for (const one of both) await setPercent(one, 100)
  const again = await ask(b, gtins[0] as string)
  expect(again.text).toBe(`modern again ${gtins[0]}`)
})

describe('Redis killed under load', () => {
  test('no request fails, and it is used again when it is back', async () => {
    legacy.handler = answering('legacy')
    for (const one of both) await setPercent(one, 0)
    let counter = 0
    let going = true
    const statuses = new Map<number, number>()
    const client = async (of: Banyan): Promise<void> => {
      while (going) {
        const { status } = await ask(of, `/gtins/${counter++}`)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }
    const load = Promise.all(Array.from({ length: 16 }, (_, i) => client(both[i % 2] as Banyan)))
    const reached = async (count: number): Promise<void> => {
      while (counter < count) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await reached(300)
    const lost = both.map((one) => one.program.line((line) => line.includes('"event":"redis","state":"down"')))
    await redis.kill()
    await Promise.all(lost)
    await reached(counter + 300)
    const ready = await fetch(`http://127.0.0.1:${both[0]!.adminPort}/readyz`)
    expect(ready.status).toBe(200)
    expect(await ready.text()).toContain('redis is not connected')
    await redis.start()
    // What the one is asked first, the other has from Redis.
    for (let n = 0; ; n++) {
      await ask(both[0] as Banyan, `/gtins/back-${n}`)
      if ((await ask(both[1] as Banyan, `/gtins/back-${n}`)).cache.includes('hit')) break
    }
    going = false
    await load
    expect([...statuses.keys()]).toEqual([200])
    expect(await (await fetch(`http://127.0.0.1:${both[0]!.adminPort}/readyz`)).text()).not.toContain('redis')
  })
})
