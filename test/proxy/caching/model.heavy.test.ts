/**
 * Whatever a client gets is what the upstream made for exactly the request that is sent for it, in an edition that it may still
 * get: random hosts, targets, fields, cookies, duplicates, odd bytes, conditions, ranges and Vary; one after the other and all at
 * once; between changes of the pages, purges, unsafe requests, edits of the table, and failures, also while a response is on its
 * way. In memory, over Redis alone, and on two proxies with one Redis, against an upstream that tells what it got.
 *
 * `BANYAN_MODEL_SECONDS` runs it longer, `BANYAN_MODEL_SETUP` in one set-up.
 */
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import type { RedisStore } from '../../../src/state/redis/store.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import type { RawResponse } from '../../support/message.ts'
import { startRedis } from '../../support/redis.ts'
import { storeAt } from '../../support/redis-store.ts'
import { flawOf, MAX_BODY, Pages, type Side, saidIn, withTag } from './model-pages.ts'
import { type Rig, type RigOptions, startRig, statusOf, until } from './rig.ts'

const SECONDS = Number(process.env.BANYAN_MODEL_SECONDS ?? 0)
const SETUPS = ['memory', 'redis', 'two'] as const
type Setup = (typeof SETUPS)[number]
const chosen = SETUPS.filter((setup) => (process.env.BANYAN_MODEL_SETUP ?? setup) === setup)

const redis = await startRedis()
afterAll(() => redis.stop())

const value = fc.constantFrom(
  'a',
  'A',
  'b',
  'a,b',
  'a , b',
  'b, a',
  'a\xa0',
  '\xc9',
  '\xe9',
  '\xc3\xa9',
  'de;q=0.9,en',
  '',
)
const pair = fc.constantFrom(
  'lang=en',
  'lang=de',
  'lang=en\xa0',
  'lang\xa0=en',
  'LANG=en',
  'sid=1',
  'lang',
  '"lang"=en',
  'x,lang=de',
)
const line = fc.oneof(
  fc.tuple(fc.constantFrom('X-Tenant', 'x-tenant', 'X_Tenant', 'Accept-Language'), value).map((all) => all.join(': ')),
  fc.array(pair, { minLength: 1, maxLength: 3 }).map((pairs) => `Cookie: ${pairs.join('; ')}`),
  fc.constantFrom(
    'Connection: x-tenant',
    'Connection: cookie',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: evil.test',
  ),
)
const host = fc
  .constantFrom('shop.test', 'shop.test', 'SHOP.test', 'shop.test:80', 'shop.test:')
  .map((name) => `Host: ${name}`)
const target = fc.constantFrom(
  '/a',
  '/a?id=1',
  '/a?id=1&x=2',
  '/a?x=2&id=1',
  '/a?id=1;x=2',
  '/a?utm=1',
  '/a?utm=1;x=2',
  '/a?%69d=1',
  '/no-store',
  '/chunked',
  '/long',
)
/** `SAME` is replaced by the entity tag of the page as it is now. */
const own = fc.constantFrom(
  [],
  [],
  ['If-None-Match: SAME'],
  ['If-None-Match: "other"'],
  ['Range: bytes=0-3'],
  ['Range: bytes=-2'],
  ['Range: bytes=5-', 'If-Range: SAME'],
  ['Range: bytes=5-', 'If-Range: "other"'],
  ['Range: bytes=9999-'],
)
const request = fc.record({ target, host, lines: fc.array(line, { maxLength: 3 }), own })

const settings = fc.constantFrom(
  '{}',
  '{ key: { headers: [x-tenant] } }',
  '{ key: { cookies: [lang] } }',
  '{ key: { query: { keep: [id] } } }',
  '{ key: { anyQueryOrder: true } }',
  '{ normalize: [accept-language] }',
  '{ staleWhileRevalidate: 1m }',
)
const percent = fc.constantFrom(0, 100)
/** Which of the requests is meant, and at which proxy. */
const at = fc.nat(23)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('ask' as const), atOnce: fc.boolean() }) },
  fc.record({ what: fc.constantFrom('purge' as const, 'soft' as const, 'put' as const), at, races: fc.boolean() }),
  fc.record({ what: fc.constant('change' as const) }),
  fc.record({ what: fc.constant('edit' as const), cache: settings, percent }),
  fc.record({ what: fc.constant('fail' as const), how: fc.constantFrom(503 as const, 'cut' as const, null) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const scenario = fc.record({
  setup: fc.constantFrom(...chosen),
  trusted: fc.boolean(),
  vary: fc.subarray(['X-Tenant', 'Accept-Language', 'Cookie', 'X-Forwarded-Proto']),
  cache: settings,
  percent,
  requests: fc.array(request, { minLength: 4, maxLength: 24 }),
  steps: fc.array(step, { minLength: 2, maxLength: 8 }),
})
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never

const storeOf = (): RedisStore => storeAt(redis.url, { deadlineMs: 1000 })

/** They are given time, and asked again after every failure. */
const UPSTREAMS = { headers: '30s', both: 'ejection: false' }

/** An idle connection is used again for so long; then the proxy may be about to close it. */
const REUSED_MS = 20_000

/** The proxies of a set-up, which live on: each scenario brings its own table, and targets that no other one has. */
class World {
  readonly rigs: readonly Rig[]
  readonly #idle = new Map<Rig, { readonly client: RawClient; readonly sinceMs: number }[]>()

  private constructor(rigs: readonly Rig[]) {
    this.rigs = rigs
    for (const rig of rigs) this.#idle.set(rig, [])
  }

  static async start(setup: Setup, options: RigOptions): Promise<World> {
    if (setup === 'memory') return new World([await startRig(options)])
    // With room for nothing, all comes from Redis.
    const memory = setup === 'redis' ? { memoryBytes: 1 } : {}
    const first = await startRig({ ...options, ...memory, remote: storeOf() })
    const others = setup === 'two' ? [await startRig({ ...options, remote: storeOf(), upstreams: first })] : []
    const world = new World([first, ...others])
    await until(() => world.rigs.every((rig) => rig.plane.cache.figures().remote?.state === 'up'))
    return world
  }

  /** Asks on a connection that was used before, where there is one: thousands of ports would wait for a minute. */
  async ask(rig: Rig, head: readonly string[], method = 'GET'): Promise<RawResponse> {
    const idle = this.#idle.get(rig)!
    const freshMs = performance.now() - REUSED_MS
    while (idle.length > 0 && idle[0]!.sinceMs < freshMs) idle.shift()!.client.reset()
    const client = idle.pop()?.client ?? (await rawClient(rig.port))
    const response = await client.ask(`${head.map((line) => `${line}\r\n`).join('')}\r\n`, method)
    if (response.fields.some(([name, text]) => /^connection$/i.test(name) && /close/i.test(text))) client.reset()
    else idle.push({ client, sinceMs: performance.now() })
    return response
  }

  /** Makes all read what one has ordered. */
  async inStep(order: () => Promise<unknown>): Promise<void> {
    const generations = () => this.rigs.map((rig) => rig.plane.cache.figures().generation)
    const before = Math.max(...generations())
    await order()
    if (this.rigs[0]!.plane.cache.figures().remote === null) return
    await until(() => generations().every((one) => one > before))
  }
}

let counter = 0
/** How many requests were answered, and how many of them by the cache alone, by set-up. */
const answered: Record<Setup, { scenarios: number; requests: number; hits: number }> = {
  memory: { scenarios: 0, requests: 0, hits: 0 },
  redis: { scenarios: 0, requests: 0, hits: 0 },
  two: { scenarios: 0, requests: 0, hits: 0 },
}

/** A scenario as it goes. */
class Run {
  readonly #world: World
  readonly #scenario: Scenario
  readonly #pages: Pages
  readonly #prefix = `/${counter++}`
  #cache: string
  #side: Side
  /** What the pages say to each request, as the table is. */
  #said: string[] = []
  /** By side and target: the editions that may still be served; and those that may be where the upstream can't be asked. */
  readonly #fresh = new Map<string, number>()
  readonly #stale = new Map<string, number>()
  readonly flaws: string[] = []

  constructor(world: World, scenario: Scenario) {
    this.#world = world
    this.#scenario = scenario
    this.#pages = new Pages(scenario.vary, scenario.cache)
    this.#pages.serve(world.rigs[0]!)
    this.#cache = scenario.cache
    this.#side = scenario.percent === 100 ? 'modern' : 'legacy'
  }

  async run(): Promise<void> {
    const { steps, cache, percent } = this.#scenario
    await this.#edit(cache, percent)
    for (const [i, step] of steps.entries()) {
      const before = this.flaws.length
      await this.#take(step)
      for (let j = before; j < this.flaws.length; j++) this.flaws[j] = `step ${i} (${step.what}): ${this.flaws[j]}`
    }
  }

  async #take(step: Step): Promise<void> {
    const { requests } = this.#scenario
    switch (step.what) {
      case 'ask':
        if (step.atOnce) await Promise.all(requests.map((_, i) => this.#ask(i)))
        else for (const [i] of requests.entries()) await this.#ask(i)
        return
      case 'change':
        this.#pages.edition++
        return
      case 'fail':
        this.#pages.failing = step.how
        return
      case 'edit':
        // What the fields of the pages are follows from the settings that the scenario began with.
        if (/headers|cookies/.test(`${step.cache}${this.#scenario.cache}`))
          await this.#edit(this.#scenario.cache, step.percent)
        else await this.#edit(step.cache, step.percent)
        return
      default:
        if (step.races) await this.#race(step.at, () => this.#untrue(step.what, step.at))
        else await this.#untrue(step.what, step.at)
    }
  }

  /** Puts a table in force. What other settings have made is gone; so is what the new side has, where its share is lowered. */
  async #edit(cache: string, percent: number): Promise<void> {
    const pages = this.#pages
    const side: Side = percent === 100 ? 'modern' : 'legacy'
    pages.edition++
    for (const rig of this.#world.rigs) {
      rig.apply({
        ...UPSTREAMS,
        cache: cache.replace('{', `{ maxBody: ${MAX_BODY}B,`).replace(', }', ' }'),
        route: [`percent: ${percent}`],
      })
    }
    const gone: Side[] = cache !== this.#cache ? ['legacy', 'modern'] : side === 'legacy' ? ['modern'] : []
    for (const lost of gone) for (const { target } of this.#scenario.requests) this.#raise(lost, target, 'all')
    this.#cache = cache
    this.#side = side
    const { failing } = pages
    pages.failing = null
    this.#said = []
    // The reference: the same proxy where nothing is stored or shared, since each request forbids it.
    for (const { target, host, lines } of this.#scenario.requests) {
      const head = this.#headOf(target, [host, ...lines, 'Cache-Control: no-store'])
      this.#said.push(saidIn((await this.#world.ask(this.#world.rigs[0]!, head)).body.text))
    }
    pages.failing = failing
  }

  #raise(side: Side, target: string, what: 'all' | 'fresh'): void {
    const key = `${side} ${target}`
    this.#fresh.set(key, this.#pages.edition)
    if (what === 'all') this.#stale.set(key, this.#pages.edition)
  }

  /** One of the pages has changed, and all are told: by a purge, or by an unsafe request. */
  async #untrue(what: 'purge' | 'soft' | 'put', at: number): Promise<void> {
    const { requests } = this.#scenario
    const { target } = requests[at % requests.length]!
    const { rigs } = this.#world
    const rig = rigs[at % rigs.length]!
    if (what === 'put') {
      const head = this.#headOf(target, ['Host: shop.test', 'Content-Length: 0'], 'PUT')
      await this.#world.inStep(async () => expect((await this.#world.ask(rig, head, 'PUT')).status).toBe(204))
    } else {
      this.#pages.edition++
      const url = { what: 'url', url: `${this.#prefix}${target}` } as const
      await this.#world.inStep(() => rig.plane.cache.purge(url, what === 'soft'))
    }
    for (const side of ['legacy', 'modern'] as const) this.#raise(side, target, what === 'soft' ? 'fresh' : 'all')
  }

  /** Something happens while the response to a request is on its way. */
  async #race(at: number, happen: () => Promise<void>): Promise<void> {
    const pages = this.#pages
    const held: (() => void)[] = []
    const asked = new Promise<void>((resolve) => {
      pages.hold = (release) => {
        held.push(release)
        resolve()
      }
    })
    const i = at % this.#scenario.requests.length
    const early = this.#ask(i)
    await Promise.race([asked, early])
    await happen()
    // Whoever asks now must not get what was asked for before.
    let answered = false
    const late = this.#ask(i).finally(() => {
      answered = true
    })
    const active = () => this.#world.rigs.reduce((sum, { plane }) => sum + plane.measurements.active, 0)
    if (held.length > 0) await until(() => answered || active() > 1)
    pages.hold = null
    for (const release of held) release()
    await Promise.all([early, late])
  }

  /** Asks, and looks at what comes. */
  async #ask(i: number): Promise<void> {
    const { target, host, lines, own } = this.#scenario.requests[i]!
    const { rigs } = this.#world
    const pages = this.#pages
    const side = this.#side
    const said = this.#said[i] as string
    const key = `${side} ${target}`
    const { failing } = pages
    const mayBeStale = failing === 'cut' || this.#cache.includes('staleWhileRevalidate')
    const from = (mayBeStale ? this.#stale : this.#fresh).get(key) ?? 0
    const fields = withTag(own, said, side, pages.edition)
    const head = this.#headOf(target, [host, ...lines, ...fields])
    const response = await this.#world.ask(rigs[i % rigs.length]!, head)
    const figures = answered[this.#scenario.setup]
    figures.requests++
    if (statusOf(response)?.startsWith('banyan;hit')) figures.hits++
    if (failing !== null && response.status >= 502) return
    const flaws: string[] = []
    for (let edition = pages.edition; edition >= from; edition--) {
      const flaw = flawOf(response, fields, [said, side, edition])
      if (flaw === null) return
      flaws.push(flaw)
    }
    this.flaws.push(`${head.join(' | ')}: ${flaws[0]}, from edition ${from}; ${statusOf(response)}`)
  }

  #headOf(target: string, fields: readonly string[], method = 'GET'): string[] {
    return [`${method} ${this.#prefix}${target} HTTP/1.1`, ...fields]
  }
}

test('each client gets what the upstream made for the request that is sent for it', {
  timeout: 120_000 + SECONDS * 2000,
}, async () => {
  const worlds = new Map<string, World>()
  await fc.assert(
    fc.asyncProperty(scenario, async (one) => {
      const name = `${one.setup} ${one.trusted}`
      const world = worlds.get(name) ?? (await World.start(one.setup, { trusted: one.trusted, ...UPSTREAMS }))
      worlds.set(name, world)
      const run = new Run(world, one)
      await run.run()
      answered[one.setup].scenarios++
      expect(run.flaws).toEqual([])
    }),
    SECONDS > 0 ? { interruptAfterTimeLimit: SECONDS * 1000, numRuns: 1_000_000 } : { numRuns: 60 },
  )
  if (SECONDS > 0) console.log(JSON.stringify(answered))
  for (const setup of chosen) expect(answered[setup].hits).toBeGreaterThan(0)
})
