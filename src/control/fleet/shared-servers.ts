/**
 * Drained and leased servers of a cluster: one record in its Redis, which any instance can change and all follow. Each keeps the last
 * version, also on disk, and restores it to a Redis that has none or an older one.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Server } from '../../rules/table/table.ts'
import { readFileWithinNow } from '../../state/read-file.ts'
import type { ClusterLink } from '../../state/redis/link.ts'
import type { StateStore } from '../../state/store/store.ts'
import { readShared, type SharedServers, writeWhole } from './file.ts'

const SPACE = 'servers'
const TOPIC = 'servers'
const POLL_MS = 1_000
const MAX_FILE_BYTES = 16 * 1024 * 1024
/** Attempts of a change that loses to concurrent changes; more in a row are unrealistic. */
const ATTEMPTS = 50

export const NO_SERVERS: SharedServers = Object.freeze({ version: 1, change: 0, upstreams: {} })

type Known = SharedServers['upstreams'][string]

const NOTHING: Known = { drained: [], leased: [] }

/** Servers can't be drained or leased now; the message is for the operator. */
export class ServersUnavailable extends Error {}

/** Dependencies. */
export interface SharedServersParts {
  readonly store: StateStore
  readonly link: ClusterLink
  /** The file for the last record; null for none. */
  readonly file: string | null
  /** Once it has `settled`, its `problem` says why the cluster must not be used now, or null. */
  readonly table: { readonly problem: string | null; settled(): Promise<void> }
  /** Called with the parts of a change that were lost because others have replaced it. */
  onLost(upstream: string, server: string, what: string): void
}

/** The record. */
export class ClusterServers {
  readonly #parts: SharedServersParts
  #current: SharedServers = NO_SERVERS
  /** The changes made by the last version. */
  #before: SharedServers = NO_SERVERS
  #onChange: (servers: SharedServers) => Promise<void> = async () => {}
  #timer: NodeJS.Timeout | undefined
  #unlisten: () => void = () => {}
  #looking: Promise<void> | null = null
  #kept: Promise<void> = Promise.resolve()

  constructor(parts: SharedServersParts) {
    this.#parts = parts
    if (parts.file === null) return
    try {
      this.#current = readShared(readFileWithinNow(parts.file, MAX_FILE_BYTES).toString('utf8')) ?? NO_SERVERS
    } catch {
      // There is no file yet.
    }
  }

  get current(): SharedServers {
    return this.#current
  }

  /** Whether the cluster is followed: only then is it known that a lease was not renewed. */
  get isFollowing(): boolean {
    return this.#parts.table.problem === null
  }

  /** Calls `onChange` with each new record from now on. It must not reject. */
  start(onChange: (servers: SharedServers) => Promise<void>): void {
    this.#onChange = onChange
    this.#unlisten = this.#parts.link.onMessage(TOPIC, () => void this.look())
    this.#timer = setInterval(() => void this.look(), POLL_MS)
    this.#timer.unref()
    void this.look()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#unlisten()
  }

  /** Reads the record, or writes it if Redis has none or an older one. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      // If Redis is unreachable, the known record stays.
      .catch(() => {})
      .finally(() => {
        this.#looking = null
      })
    return this.#looking
  }

  async #look(): Promise<void> {
    if (!this.isFollowing) return
    const { store } = this.#parts
    const record = await store.read(SPACE, '', 'all')
    const found = record === null ? null : readShared(record.value)
    if (found !== null && found.change >= this.#current.change) return await this.#take(found)
    if (this.#current.change === 0) return
    await store.write(SPACE, '', 'all', JSON.stringify(this.#current), { expected: record?.version ?? 0 })
  }

  /** @returns whether that is a change @throws {ServersUnavailable} */
  async setDrained(upstream: string, id: string, drained: boolean): Promise<boolean> {
    return await this.#change(({ upstreams }) => {
      upstreams[upstream] ??= { drained: [], leased: [] }
      const { drained: list } = upstreams[upstream]
      const at = list.indexOf(id)
      const isChange = (at !== -1) !== drained
      if (isChange && drained) list.push(id)
      else if (isChange) list.splice(at, 1)
      return isChange
    })
  }

  /** Registers a server, or renews its lease. @throws {ServersUnavailable} */
  async register(
    upstream: string,
    { id, url, weight }: Pick<Server, 'id' | 'url' | 'weight'>,
    ttlMs: number,
  ): Promise<'new' | 'changed' | 'renewed'> {
    let outcome: 'new' | 'changed' | 'renewed' = 'new'
    await this.#change(({ change, upstreams }) => {
      upstreams[upstream] ??= { drained: [], leased: [] }
      const { leased } = upstreams[upstream]
      const at = leased.findIndex((one) => one.id === id)
      const before = leased[at]
      const isSame = before?.url === url && before.weight === weight && before.ttlMs === ttlMs
      outcome = before === undefined ? 'new' : isSame ? 'renewed' : 'changed'
      leased.splice(at === -1 ? leased.length : at, 1, { id, url, weight, ttlMs, renewed: change + 1 })
      return true
    })
    return outcome
  }

  /**
   * Removes a lease.
   * @param renewed only if it was not renewed since
   * @returns whether there was one
   * @throws {ServersUnavailable}
   */
  async release(upstream: string, id: string, renewed?: number): Promise<boolean> {
    return await this.#change(({ upstreams }) => {
      const leased = upstreams[upstream]?.leased ?? []
      const at = leased.findIndex((one) => one.id === id && one.renewed === (renewed ?? one.renewed))
      if (at !== -1) leased.splice(at, 1)
      return at !== -1
    })
  }

  /** Removes drains of servers that are no longer in the table. Never rejects. */
  async forget(gone: readonly (readonly [string, string])[]): Promise<void> {
    if (gone.length === 0 || !this.isFollowing) return
    const forget = ({ upstreams }: SharedServers): boolean =>
      gone.filter(([name, id]) => {
        const at = upstreams[name]?.drained.indexOf(id) ?? -1
        if (at !== -1) upstreams[name]?.drained.splice(at, 1)
        return at !== -1
      }).length > 0
    await this.#change(forget).catch(() => {})
  }

  /**
   * Changes the record.
   * @param change gets a copy, and returns whether it has changed it
   * @returns the same
   * @throws {ServersUnavailable}
   */
  async #change(change: (servers: SharedServers) => boolean): Promise<boolean> {
    const { store, link, table } = this.#parts
    await table.settled()
    if (table.problem !== null) throw new ServersUnavailable(table.problem)
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const record = await store.read(SPACE, '', 'all')
        const found = record === null ? null : readShared(record.value)
        const newest = found === null || found.change < this.#current.change ? this.#current : found
        // What Redis has instead of the last change.
        if (newest.change === this.#current.change) await this.#take(newest)
        const next = structuredClone(newest)
        if (!change(next)) {
          if (newest !== this.#current) await this.#take(newest)
          return false
        }
        const changed: SharedServers = { ...next, change: newest.change + 1 }
        const terms = { expected: record?.version ?? 0 }
        const { kind } = await store.write(SPACE, '', 'all', JSON.stringify(changed), terms)
        if (kind === 'done') {
          await this.#take(changed)
          await link.tell(TOPIC).catch(() => {})
          return true
        }
        await wait(Math.random() * 10)
      }
    } catch (error) {
      if (error instanceof ServersUnavailable) throw error
      throw new ServersUnavailable((error as Error).message)
    }
    throw new ServersUnavailable('too many concurrent changes')
  }

  /** Reports the parts of the last change that were lost because others have made another one with the same number. */
  #tellLost(others: SharedServers): void {
    for (const name of Object.keys({ ...this.#before.upstreams, ...this.#current.upstreams })) {
      const [before, own, now] = [this.#before, this.#current, others].map(
        ({ upstreams }) => upstreams[name] ?? NOTHING,
      ) as [Known, Known, Known]
      const tell = (id: string, what: string): void => this.#parts.onLost(name, id, what)
      for (const id of own.drained)
        if (!before.drained.includes(id) && !now.drained.includes(id)) tell(id, 'was drained, and is not any more')
      for (const id of before.drained)
        if (!own.drained.includes(id) && now.drained.includes(id)) tell(id, 'was undrained, and is drained again')
      const isIn = ({ leased }: Known, id: string): boolean => leased.some((one) => one.id === id)
      for (const { id } of own.leased)
        if (!isIn(before, id) && !isIn(now, id)) tell(id, 'was leased, and is not any more')
      for (const { id } of before.leased)
        if (!isIn(own, id) && isIn(now, id)) tell(id, 'was removed, and is leased again')
    }
  }

  async #take(servers: SharedServers): Promise<void> {
    if (servers.change < this.#current.change) return
    // Two instances have made changes while Redis lacked the last change: the version in Redis wins.
    if (servers.change === this.#current.change && isDeepStrictEqual(servers, this.#current)) return
    if (servers.change === this.#current.change) this.#tellLost(servers)
    else this.#before = this.#current
    this.#current = servers
    await this.#onChange(servers)
    const { file } = this.#parts
    if (file === null) return
    // If the file can't be written, the record is still in Redis and in memory.
    this.#kept = this.#kept.then(() => writeWhole(file, `${JSON.stringify(this.#current)}\n`).catch(() => {}))
    await this.#kept
  }
}
