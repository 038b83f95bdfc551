/**
 * Storage for a cluster: encrypted in its Redis, with a copy in the folder of each instance. One instance is the owner, by a lease. While
 * Redis is unreachable, each instance uses its copy, and nothing is ordered.
 */

import { randomUUID, X509Certificate } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { jsonOf } from '../../rules/values/json.ts'
import { type HeldLease, StateError } from '../../state/store/store.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { SILENT_MS } from '../cluster/members.ts'
import type { ControlLog } from '../control-log.ts'
import { OneByOne } from '../one-by-one.ts'
import type { AcmeFiles } from './files.ts'
import type { FolderFiles } from './folder.ts'
import type { Challenge } from './order.ts'

/** The name of the records' space and group, of the lease and of the topic. */
const ACME = 'acme'
const CHALLENGE = 'challenge'
/** Written with each order, so that its version shows whether Redis has lost data. */
const NEWEST = 'tried.json'

const LOST = -1

const TTL_MS = 6_000
/** The owner stops this long before its lease expires: a reply may come late. */
const MARGIN_MS = 1_000
const RENEW_MS = 1_500

/** A challenge older than this is ignored: its order has been aborted by then. */
const MAX_CHALLENGE_MS = 10 * 60 * 1000

/** How long to wait for all instances to answer a challenge. */
const PATIENCE = { allMs: 8_000, anyMs: 8_000, isForAll: true, lateMs: SILENT_MS, goneMs: 60_000 } as const

/** At the start, and when Redis is back, the other instances appear a moment later. */
const SETTLED_MS = 5_000

const told = z.object({
  id: z.string().max(100),
  challenge: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('http-01'), token: z.string().regex(/^[\w-]{1,256}$/), answer: z.string().max(1_000) }),
    z.object({ kind: z.literal('tls-alpn-01'), cert: z.string().max(20_000), key: z.string().max(20_000) }),
  ]),
})

/** The parts of the cluster that are used here. */
interface OfCluster extends Pick<Cluster, 'name' | 'instance' | 'store'> {
  readonly members: Pick<Cluster['members'], 'whereInForce' | 'tell'>
  acme: Cluster['acme']
}

/** Files of a cluster with a secret. */
export class SharedFiles implements AcmeFiles {
  readonly name: string
  readonly #cluster: OfCluster
  readonly #folder: FolderFiles
  readonly #log: ControlLog
  #held: HeldLease | null = null
  /** Until when this instance is the owner, and since when, on the monotonic clock. */
  #untilMs = Number.NEGATIVE_INFINITY
  #sinceMs = Number.NEGATIVE_INFINITY
  readonly #settledMs: number
  #holder = ''
  #timer: NodeJS.Timeout | undefined
  readonly #work = new OneByOne()
  /** The contents of each file, as last read or written by this instance. */
  readonly #known = new Map<string, string>()
  /** Version of `NEWEST` in Redis. */
  #version = 0
  #heard: { readonly id: string; readonly challenge: Challenge; readonly sinceMs: number } | null = null
  #answered = ''
  #unlisten: () => void = () => {}
  problem: string | null = null

  /** @param settledMs how long the other instances may take to appear after this one has become the owner, milliseconds */
  constructor(cluster: OfCluster, folder: FolderFiles, log: ControlLog, settledMs = SETTLED_MS) {
    this.#settledMs = settledMs
    this.name = `cluster ${cluster.name}`
    this.#cluster = cluster
    this.#folder = folder
    this.#log = log
    cluster.acme = () => this.#answered
  }

  get isOwner(): boolean {
    return this.#held !== null && performance.now() < this.#untilMs
  }

  get owner(): string {
    return `instance ${this.#holder}`
  }

  async take(): Promise<void> {
    await this.#folder.make()
    await this.#orTold(() => this.#acquire())
  }

  async read(file: string): Promise<Buffer | null> {
    const own = (await this.#folder.read(file))?.toString('latin1') ?? null
    const shared = await this.#orTold(() => this.#get(file))
    const text = shared === null || (own !== null && isNewer(own, shared)) ? own : shared
    if (text === null) return null
    this.#known.set(file, text)
    if (text !== own) await this.#folder.write(file, text).catch((error) => this.#untold(file, error))
    if (text !== shared && this.isOwner) await this.#orTold(() => this.#put(file, text))
    return Buffer.from(text, 'latin1')
  }

  async write(file: string, text: string): Promise<void> {
    await this.#folder.write(file, text)
    this.#known.set(file, text)
    await this.#put(file, text)
    if (file !== NEWEST) await this.#cluster.store.link.tell(ACME)
  }

  async setAside(file: string): Promise<void> {
    await this.#folder.setAside(file)
    this.#known.delete(file)
    await this.#orTold(() => this.#write(file, null))
  }

  async tell(challenge: Challenge | null): Promise<void> {
    const id = challenge === null ? '' : randomUUID()
    await this.#write(CHALLENGE, challenge === null ? null : JSON.stringify({ id, challenge }))
    await this.#cluster.store.link.tell(ACME)
    if (challenge === null) return
    await wait(Math.max(0, this.#sinceMs + this.#settledMs - performance.now()), undefined, { ref: false })
    const answers = ({ acme }: { readonly acme: string | null }): boolean => acme === null || acme === id
    const { inForce, instances } = await this.#cluster.members.whereInForce(answers, PATIENCE)
    if (inForce === instances) return
    const few = `only ${inForce} of ${instances} instances answer a challenge: the authority may reach one that does not`
    this.#log.warn({ event: 'acme' }, few)
  }

  async heard(): Promise<Challenge | null> {
    try {
      const text = await this.#get(CHALLENGE)
      const read = text === null ? null : told.safeParse(jsonOf(text))
      const { id, challenge } = read?.success === true ? read.data : { id: '', challenge: null }
      if (challenge === null) this.#heard = null
      else if (id !== this.#heard?.id) this.#heard = { id, challenge, sinceMs: performance.now() }
    } catch {
      // The order may still be open.
    }
    if (this.#heard !== null && performance.now() - this.#heard.sinceMs > MAX_CHALLENGE_MS) return null
    return this.#heard?.challenge ?? null
  }

  answering(): void {
    this.#answered = this.#heard?.id ?? ''
    void this.#cluster.members.tell()
  }

  onNews(listener: () => void): void {
    this.#unlisten = this.#cluster.store.link.onMessage(ACME, listener)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#unlisten()
    const held = this.#held
    this.#held = null
    if (held === null) return
    const { store } = this.#cluster
    // Another instance can take over at once. If Redis is unreachable, the lease expires by itself.
    await this.#work.run(() => store.release(held)).catch(() => {})
    await store.link.tell(ACME).catch(() => {})
  }

  #acquire(): Promise<void> {
    return this.#work.run(async () => {
      const { store, instance } = this.#cluster
      const startedMs = performance.now()
      const lease = await store.acquire(ACME, instance, TTL_MS)
      this.#holder = lease.holder
      const before = this.#held
      this.#held = lease.holder === instance ? lease : null
      clearInterval(this.#timer)
      if (this.#held === null) return
      this.#untilMs = startedMs + TTL_MS - MARGIN_MS
      this.#timer = setInterval(() => void this.#renew(), RENEW_MS).unref()
      // The token is one higher if the lease expired meanwhile, and more if another instance has held it.
      const isNew = before === null || lease.token > before.token + 1
      if (isNew) {
        this.#sinceMs = startedMs
        for (const file of before === null ? [] : this.#known.keys()) await this.read(file)
        this.#version = (await store.read(ACME, ACME, NEWEST))?.version ?? 0
      } else if (lease.token < before.token) this.#version = LOST
    })
  }

  async #renew(): Promise<void> {
    await this.#orTold(async () => {
      await this.#acquire()
      if (!this.isOwner) return
      // If the version differs, Redis was emptied or restored from a snapshot.
      const version = (await this.#cluster.store.read(ACME, ACME, NEWEST))?.version ?? 0
      if (version === this.#version) return
      for (const [file, text] of this.#known) await this.#put(file, text)
      this.#version = (await this.#cluster.store.read(ACME, ACME, NEWEST))?.version ?? 0
    })
  }

  /** @returns null if there is none that this instance can decrypt */
  async #get(file: string): Promise<string | null> {
    const { store } = this.#cluster
    const record = await store.read(ACME, ACME, file)
    return record === null ? null : store.link.seal.reveal(`${ACME} ${file}`, record.value)
  }

  async #put(file: string, text: string): Promise<void> {
    const version = await this.#write(file, text)
    if (file === NEWEST) this.#version = version
  }

  /** @returns the version @throws {StateError} */
  async #write(file: string, text: string | null): Promise<number> {
    const { store } = this.#cluster
    const held = this.#held
    if (held === null || !this.isOwner) throw new StateError('not-owner', `they are ordered by ${this.owner}`)
    const hidden = text === null ? null : store.link.seal.hide(`${ACME} ${file}`, text)
    const outcome = await store.write(ACME, ACME, file, hidden, { fence: held })
    if (outcome.kind === 'done') return outcome.version
    this.#held = null
    throw new StateError('not-owner', 'another instance orders them now')
  }

  /** Runs a Redis operation; a failure is logged, and the result is null. */
  async #orTold<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      const result = await work()
      if (this.problem !== null) this.#log.info({ event: 'acme' }, `${this.name}: certificates are ordered again`)
      this.problem = null
      return result
    } catch (error) {
      if (!(error instanceof StateError)) throw error
      if (error.fault === 'not-owner' || error.fault === 'closed') return null
      const problem = `${this.name}: ${error.message}: no certificates are ordered; those in use stay in use`
      if (this.problem === null) this.#log.warn({ event: 'acme' }, problem)
      this.problem = problem
      return null
    }
  }

  #untold(file: string, { message }: Error): void {
    this.#log.warn({ event: 'acme' }, `${this.#folder.name}/${file} can't be written: ${message}`)
  }
}

/** Whether our own file has a later certificate: Redis may have been restored from a snapshot. */
function isNewer(own: string, shared: string): boolean {
  const [mine, other] = [notBeforeOf(own), notBeforeOf(shared)]
  return mine !== null && (other === null || mine > other)
}

/** The start of validity of the first certificate in a text; null for none. */
function notBeforeOf(text: string): number | null {
  if (!text.startsWith('-----BEGIN CERTIFICATE-----')) return null
  try {
    return Date.parse(new X509Certificate(text).validFrom)
  } catch {
    return null
  }
}
