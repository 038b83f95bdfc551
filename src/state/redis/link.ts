/**
 * What the instances of a cluster do in Redis, whatever it is: keys that begin with the cluster's name, scripts, and messages.
 *
 * All keys have the tag of the cluster in braces, so that one server of a Redis Cluster has them all.
 */
import { EventEmitter } from 'node:events'
import { StateError } from '../store/store.ts'
import { Fault, RedisClient, type RedisClientSettings } from './client.ts'
import { type ReadReply, readInteger } from './replies.ts'
import { Seal } from './seal.ts'

export interface LinkOptions extends RedisClientSettings {
  /** The first one seals, all of them open; none: nothing is sealed. */
  readonly secrets?: readonly string[]
  /** Called when all connections stand. */
  onReady?(): void
  /** Called when one of them is gone. */
  onDown?(): void
}

/** KEYS: a hash. ARGV: a field, what is known of it, what it is to be. */
const RENEW = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 0
`

/** The connections of one instance to the Redis of its cluster. */
export class ClusterLink {
  readonly seal: Seal
  readonly #client: RedisClient
  readonly #prefix: string
  readonly #topics = new EventEmitter().setMaxListeners(0)
  #isClosed = false

  /** @param cluster its name: two in one Redis never meet */
  constructor(cluster: string, options: LinkOptions) {
    this.#prefix = `banyan:{${cluster}}:`
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
    const said = why.startsWith('redis is not connected')
      ? why.replace('redis', 'its Redis')
      : `its Redis is not connected: ${why}`
    return `${said}${this.#hintOf(said)}`
  }

  /** What to do where Redis refuses this instance. */
  #hintOf(said: string): string {
    if (/NOAUTH|WRONGPASS/.test(said)) return ' (wrong user or password)'
    return said.includes('NOPERM') ? ` (its user needs the keys and channels ${this.#prefix}*, and more commands)` : ''
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

  /**
   * Runs a command.
   * @param moreMs how long it may take by itself, milliseconds
   * @throws {StateError}
   */
  async run<T>(command: Parameters<RedisClient['log']>[0], read: ReadReply<T>, moreMs = 0): Promise<T> {
    if (this.#isClosed) throw new StateError('closed', 'the state is closed')
    const reply = await this.#client.log(command, read, moreMs)
    if (!(reply instanceof Fault)) return reply
    const fault = reply.isFull ? 'full' : reply.isReadOnly ? 'read-only' : 'failed'
    throw new StateError(fault, `${reply.message}${this.#hintOf(reply.message)}`)
  }

  /** Runs a script. @throws {StateError} */
  script<T>(text: string, keys: readonly string[], args: readonly string[], read: ReadReply<T>): Promise<T> {
    return this.run((redis) => redis.eval(text, keys.length, ...keys, ...args), read)
  }

  /** Replaces what is in a field of a hash, if it is still that. @throws {StateError} */
  async renew(key: string, field: string, before: string, after: string): Promise<void> {
    await this.script(RENEW, [key], [field, before, after], readInteger)
  }

  /** Tells all that follow a topic to look. @throws {StateError} */
  async tell(topic: string): Promise<void> {
    await this.run((redis) => redis.publish(this.channel, topic), readInteger)
  }

  /** Calls `listener` when there is a message about the topic, or may have been one. @returns what ends that */
  onMessage(topic: string, listener: () => void): () => void {
    this.#topics.on(topic, listener)
    return () => this.#topics.off(topic, listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#client.close()
  }
}
