/**
 * What the instances of a cluster do in Redis, whatever it is: keys that begin with the cluster's name, scripts, and messages. A key
 * that another program has written is named to the operator.
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
  /** The first one seals, all of them open; none: nothing is sealed. */
  readonly secrets?: readonly string[]
  /** Called when all connections stand. */
  onReady?(): void
  /** Called when one of them is gone. */
  onDown?(): void
  /** Told when it turns out that nothing can be written, and with null when something can again. */
  onUnwritable?(why: string | null): void
  /** Told when what lies under some keys is nothing that banyan writes there, and when no key is like that any more, with ''. */
  onForeign?(message: string): void
}

/** KEYS: a hash. ARGV: a field, what is known of it, what it is to be. */
const RENEW = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 0
`

/** What lies under the keys, by the first word of their names. */
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

/** Without the table the instances fill it again, with the revisions that they have. */
const REMOVED_TOGETHER: Readonly<Record<string, readonly string[]>> = { revisions: ['revisions', 'table'] }

/** Faults of a Redis that may still be read. */
const REFUSALS: readonly StateError['fault'][] = ['full', 'read-only', 'denied']

const LOOK_AGAIN_MS = 1_000

/** What a user of Redis must be allowed, as rules of an ACL. */
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
  /** What is wrong with the keys that another program has written, by the key. */
  readonly #foreign = new Map<string, string>()
  #looking: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param cluster its name: two in one Redis never meet */
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

  /** All connections stand. */
  get isConnected(): boolean {
    return this.#client.connected
  }

  /** Why they don't, in a few words without addresses; null where they stand. */
  get down(): string | null {
    if (this.isConnected) return null
    const { why } = this.#client
    const said = /^redis (is not connected|is a replica|does not answer)/.test(why)
      ? why.replace('redis', 'its Redis')
      : `its Redis is not connected: ${why}`
    return `${said}${this.#hintOf(said)}`
  }

  /** What to do where Redis refuses this instance. */
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

  /** Where topics are published: whoever hears one reads what it is about. */
  get channel(): string {
    return this.key('messages')
  }

  key(name: string): string {
    return `${this.#prefix}${name}`
  }

  /** What is wrong with keys that another program has written, and what to do; as far as they were used. */
  get foreign(): readonly string[] {
    return [...this.#foreign.values()]
  }

  /** Why nothing can be written there, though it may answer; null where that is not known. */
  get unwritable(): string | null {
    return this.#unwritable
  }

  /** Tells what has become of something that is written all the time. @param error null: it was written */
  wrote(error: StateError | null): void {
    if (error !== null && !REFUSALS.includes(error.fault)) return
    const why = error && `${error.message.replace(/^redis/, 'its Redis')}: instances can't tell that they are there`
    if (why === this.#unwritable) return
    this.#unwritable = why
    this.#onUnwritable(why)
  }

  /**
   * Runs a command.
   * @param keys that it is about
   * @param moreMs how long it may take by itself, milliseconds
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

  /** Looks what lies under these keys. @returns what is wrong with them, or '' */
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

  /** Who has removed a key need not wait until it is next used. */
  #lookAgain(): void {
    clearTimeout(this.#looking)
    if (this.#foreign.size === 0 || this.#isClosed) return
    this.#looking = setTimeout(() => {
      void this.#findForeign([...this.#foreign.keys()]).finally(() => this.#lookAgain())
    }, LOOK_AGAIN_MS).unref()
  }

  /** Replaces what is in a field of a hash, if it is still that. @throws {StateError} */
  async renew(key: string, field: string, before: string, after: string): Promise<void> {
    await this.script(RENEW, [key], [field, before, after], readInteger)
  }

  /** Tells all that follow a topic to look. @throws {StateError} */
  async tell(topic: string): Promise<void> {
    await this.run([], (redis) => redis.publish(this.channel, topic), readInteger)
  }

  /** Calls `listener` when there is a message about the topic, or may have been one. @returns what ends that */
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
