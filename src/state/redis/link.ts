/**
 * Access of cluster instances to Redis: keys with the cluster's prefix, scripts, and messages. Keys that another program has written are
 * reported to the operator.
 *
 * All keys have the tag of the cluster in braces, so that one server of a Redis Cluster has them all.
 */
import { EventEmitter } from 'node:events'
import { StateError } from '../store/store.ts'
import { RedisClient, type RedisClientSettings } from './client.ts'
import { Fault, NO_COMMAND } from './faults.ts'
import { type ReadReply, readInteger, readTypes } from './replies.ts'
import { Seal } from './seal.ts'

/** Settings of a link. */
export interface LinkOptions extends RedisClientSettings {
  /** The first one seals, all of them open; without any, nothing is sealed. */
  readonly secrets?: readonly string[]
  /** Called when all connections are open. */
  onReady?(): void
  /** Called when a connection closes. */
  onDown?(): void
  /** Called when writes start to fail, and with null when they succeed again. */
  onUnwritable?(why: string | null): void
  /** Called for keys with contents that banyan doesn't write, and with '' when there are none any more. */
  onForeign?(message: string): void
}

/** KEYS: a hash. ARGV: a field, its expected value, its new value. */
const RENEW = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 0
`

/** The types of keys, by the first word of their names. */
const KINDS: Readonly<Record<string, string>> = {
  ...{ table: 'hash', revisions: 'hash', members: 'hash', offers: 'hash', turn: 'hash', lease: 'hash' },
  ...{
    records: 'hash',
    order: 'zset',
    orders: 'string',
    hours: 'zset',
    sums: 'hash',
    added: 'string',
    topic: 'stream',
  },
  ...{ 'ramps-wanted': 'string', 'ramps-changed': 'string' },
}

/** Keys to remove together: once the table is removed, the instances fill it again from their revisions. */
const REMOVED_TOGETHER: Readonly<Record<string, readonly string[]>> = { revisions: ['revisions', 'table'] }

/** Faults of a Redis that may still be read. */
const REFUSALS: readonly StateError['fault'][] = ['full', 'read-only', 'denied']

const LOOK_AGAIN_MS = 1_000

/** The ACL rules that the Redis user needs. */
const COMMANDS = '+@connection +@read +@write +@scripting +@pubsub +info +time +wait'

/** The connections of one instance to the Redis of its cluster. */
export class ClusterLink {
  readonly seal: Seal
  readonly #client: RedisClient
  readonly #prefix: string
  readonly #topics = new EventEmitter().setMaxListeners(0)
  readonly #onForeign: (message: string) => void
  readonly #onUnwritable: (why: string | null) => void
  #unwritable: string | null = null
  /** Keys that another program has written, with a message for each. */
  readonly #foreign = new Map<string, string>()
  #looking: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param cluster its name, which separates clusters in one Redis */
  constructor(cluster: string, options: LinkOptions) {
    this.#prefix = `banyan:{${cluster}}:`
    this.#onForeign = (message) => options.onForeign?.(message)
    this.#onUnwritable = (why) => options.onUnwritable?.(why)
    this.seal = new Seal(cluster, options.secrets ?? [])
    this.#client = new RedisClient(options, this.channel, {
      onMessage: (topic) => this.#topics.emit(topic),
      onReady: () => {
        // Messages may have been missed meanwhile.
        for (const topic of this.#topics.eventNames()) this.#topics.emit(topic)
        options.onReady?.()
      },
      onDown: () => options.onDown?.(),
    })
  }

  /** All connections are open. */
  get isConnected(): boolean {
    return this.#client.connected
  }

  /** Why not, in a few words without addresses; null if all connections are open. */
  get down(): string | null {
    if (this.isConnected) return null
    const { why } = this.#client
    const said = /^redis (is not connected|is a replica|does not answer)/.test(why)
      ? why.replace('redis', 'its Redis')
      : `its Redis is not connected: ${why}`
    return `${said}${this.#hintOf(said)}`
  }

  /** A hint on what to do if Redis refuses this instance. */
  #hintOf(said: string): string {
    if (/NOAUTH|WRONGPASS/.test(said)) return ' (wrong user or password)'
    if (said.includes('is full')) return ' (raise its maxmemory)'
    if (said.includes('is a replica')) return ' (name its primary as --cluster-redis)'
    if (said.includes(NO_COMMAND)) return ' (banyan needs it: is it renamed or disabled there?)'
    const keys = `~${this.#prefix}* &${this.#prefix}*`
    return said.includes('NOPERM') ? ` (its user needs the rules ${keys} ${COMMANDS})` : ''
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The channel on which topics are published; subscribers then read what the topic is about. */
  get channel(): string {
    return this.key('messages')
  }

  key(name: string): string {
    return `${this.#prefix}${name}`
  }

  /** Messages about keys that another program has written, as far as they have been used. */
  get foreign(): readonly string[] {
    return [...this.#foreign.values()]
  }

  /** Why writes fail although Redis may answer; null if none are known to. */
  get unwritable(): string | null {
    return this.#unwritable
  }

  /** Reports the outcome of a periodic write. @param error null for success */
  wrote(error: StateError | null): void {
    if (error !== null && !REFUSALS.includes(error.fault)) return
    const why = error && `${error.message.replace(/^redis/, 'its Redis')}: instances can't send heartbeats`
    if (why === this.#unwritable) return
    this.#unwritable = why
    this.#onUnwritable(why)
  }

  /**
   * Runs a command.
   * @param keys that it uses
   * @param moreMs additional time for the command, milliseconds
   * @throws {StateError}
   */
  async run<T>(
    keys: readonly string[],
    command: Parameters<RedisClient['log']>[0],
    read: ReadReply<T>,
    moreMs = 0,
  ): Promise<T> {
    if (this.#isClosed) throw new StateError('closed', 'the state is closed')
    const reply = await this.#client.log(command, read, moreMs)
    if (!(reply instanceof Fault)) return reply
    if (reply.isOtherType) throw new StateError('corrupt', (await this.#findForeign(keys)) || reply.message)
    const fault = reply.isFull ? 'full' : reply.isReadOnly ? 'read-only' : reply.isDenied ? 'denied' : 'failed'
    throw new StateError(fault, `${reply.message}${this.#hintOf(reply.message)}`)
  }

  /** Runs a script. @throws {StateError} */
  script<T>(text: string, keys: readonly string[], args: readonly string[], read: ReadReply<T>): Promise<T> {
    return this.run(keys, (redis) => redis.eval(text, keys.length, ...keys, ...args), read)
  }

  /** Checks the types of keys. @returns what is wrong with them, or '' */
  async #findForeign(keys: readonly string[]): Promise<string> {
    const before = this.#foreign.size
    const types = await this.#client.log(
      (redis) => Promise.all(keys.map((key) => redis.type(key))),
      readTypes(keys.length),
    )
    if (types instanceof Fault) return ''
    const news: string[] = []
    for (const [at, key] of keys.entries()) {
      const name = key.slice(this.#prefix.length)
      const [word = ''] = name.split(':', 1)
      const [type = '', kind] = [types[at], KINDS[word]]
      if (type === 'none' || type === kind || kind === undefined) this.#foreign.delete(key)
      else {
        const all = (REMOVED_TOGETHER[word] ?? [name]).map((one) => `"${this.key(one)}"`)
        const what = `${key} in its Redis is a ${type}, where banyan has a ${kind}: another program has written it`
        const message = `${what}; remove it (redis-cli DEL ${all.join(' ')})`
        if (!this.#foreign.has(key)) news.push(message)
        this.#foreign.set(key, message)
      }
    }
    for (const message of news) this.#onForeign(message)
    if (before > 0 && this.#foreign.size === 0) this.#onForeign('')
    this.#lookAgain()
    return keys.flatMap((key) => this.#foreign.get(key) ?? []).join('; ')
  }

  /** Checks bad keys again soon, to notice when they have been removed. */
  #lookAgain(): void {
    clearTimeout(this.#looking)
    if (this.#foreign.size === 0 || this.#isClosed) return
    this.#looking = setTimeout(() => {
      void this.#findForeign([...this.#foreign.keys()]).finally(() => this.#lookAgain())
    }, LOOK_AGAIN_MS).unref()
  }

  /** Replaces the value of a hash field if it is still the expected one. @throws {StateError} */
  async renew(key: string, field: string, before: string, after: string): Promise<void> {
    await this.script(RENEW, [key], [field, before, after], readInteger)
  }

  /** Notifies all listeners of a topic. @throws {StateError} */
  async tell(topic: string): Promise<void> {
    await this.run([], (redis) => redis.publish(this.channel, topic), readInteger)
  }

  /** Calls `listener` when there is a message about the topic, or one may have been missed. @returns a function that removes it */
  onMessage(topic: string, listener: () => void): () => void {
    this.#topics.on(topic, listener)
    return () => this.#topics.off(topic, listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#looking)
    await this.#client.close()
  }
}
