/**
 * Three connections to Redis: for what requests wait for, each command with a deadline, behind a breaker; for the shared log,
 * where a command may wait for replicas; and for messages.
 */
import type { Cluster, Redis } from 'ioredis'
import { Breaker } from './breaker.ts'
import { CONNECTION, connectionsOf, connectTo, LONGEST_RETRY_MS, retryAfterMs } from './connect.ts'
import { CLOSED, Fault, FULL, NO_COMMAND, NOT_CONNECTED, REPLICA, SILENT, troubleOf } from './faults.ts'
import { type ReadReply, readValue, readValues } from './replies.ts'
import { Sentinels } from './sentinels.ts'
import type { RedisAddress } from './url.ts'

/** Settings of the clients. */
export interface RedisClientSettings {
  readonly address: RedisAddress
  /** No command is waited for longer, milliseconds. */
  readonly deadlineMs: number
  /** In [0, 1): for jitter. */
  readonly chance: () => number
  /** A monotonic clock, milliseconds. */
  readonly now: () => number
  /** Told, once a minute at most, that Redis said what it should not have. @param count so far */
  onUnreadable(count: number): void
  /** Told, once a minute at most, that Redis has no room left: it stores nothing new, and goes on answering. */
  onFull(): void
}

/** After so long without any reply to what was asked, a connection is given up. */
const SILENCE_MS = 2000
const PING_MS = 500

/** Nobody's request waits for the shared log. */
const LOG_DEADLINE_MS = 1000

/** Between two lines in the log about what can't be read. */
const QUIET_MS = 60_000

/** Bytes of values on their way; what would go beyond is dropped, since a Redis that is slow must not fill our memory. */
const MAX_WRITING_BYTES = 16 * 1024 * 1024

/** What was counted of the commands. */
export interface ClientFigures {
  timeouts: number
  errors: number
  skipped: number
  dropped: number
  reconnects: number
  /** Replies, messages and values that were not what they should be. */
  unreadable: number
}

/** A Redis, a Sentinel's master or a Cluster. */
export class RedisClient {
  readonly #settings: RedisClientSettings
  readonly #commands: Redis | Cluster
  readonly #log: Redis | Cluster
  readonly #messages: Redis | Cluster
  readonly #sentinels: Sentinels | null
  readonly #watch: NodeJS.Timeout
  readonly breaker: Breaker
  readonly figures: ClientFigures = { timeouts: 0, errors: 0, skipped: 0, dropped: 0, reconnects: 0, unreadable: 0 }
  #isSubscribed = false
  #whyUnsubscribed: string | null = null
  #writingBytes = 0
  #gathering = false
  /** Why it can't be used, as far as something has said so; null where nothing has. */
  #trouble: string | null = null
  #closed = false
  /** Connections that have been asked for a sign of life, and when. */
  readonly #asked = new Map<Redis, number>()
  #quietUntilMs = Number.NEGATIVE_INFINITY
  #quietAboutFullUntilMs = Number.NEGATIVE_INFINITY

  /**
   * @param channel messages on it go to `onMessage`
   * @param onReady all connections stand, the channel is subscribed
   * @param onDown one of them is gone: messages may be missed from now on
   */
  constructor(
    settings: RedisClientSettings,
    channel: string,
    hooks: { onMessage(text: string): void; onReady(): void; onDown(): void },
  ) {
    this.#settings = settings
    this.breaker = new Breaker(settings.chance)
    const { address } = settings
    const retryStrategy = (attempt: number): number => retryAfterMs(attempt, settings.chance())
    const connect = (): Redis | Cluster => {
      const client = connectTo(address, retryStrategy)
      client.on('error', (error: Error) => {
        const trouble = troubleOf(error)
        // Commands that the end of a connection has met do not say why it has ended.
        if (trouble !== CLOSED || this.#trouble !== SILENT) this.#trouble = trouble
      })
      return client
    }
    this.#commands = connect()
    this.#log = connect()
    this.#messages = connect()
    const look = (): void => {
      if (!this.connected) return
      this.#trouble = null
      this.breaker.succeeded()
      hooks.onReady()
    }
    this.#commands.on('ready', look)
    this.#log.on('ready', look)
    const subscribe = (): void => {
      if (this.#messages.status !== 'ready') return
      this.#messages.subscribe(channel).then(
        () => {
          this.#isSubscribed = true
          this.#whyUnsubscribed = null
          look()
        },
        (error: Error) => {
          // Broken in the same moment: 'close' follows, and the next connection subscribes. Otherwise the user may not, at present.
          this.#whyUnsubscribed = troubleOf(error)
          setTimeout(subscribe, LONGEST_RETRY_MS).unref()
        },
      )
    }
    this.#messages.on('ready', subscribe)
    this.#messages.on('message', (_channel: string, text: string) => hooks.onMessage(text))
    const down = (): void => {
      if (this.#closed) return
      // Whoever has closed it may have said why.
      const told = [SILENT, REPLICA, NOT_CONNECTED, NO_COMMAND]
      if (!told.some((why) => this.#trouble?.startsWith(why))) this.#trouble = CLOSED
      this.figures.reconnects++
      hooks.onDown()
    }
    this.#commands.on('close', down)
    this.#log.on('close', down)
    this.#messages.on('close', () => {
      this.#isSubscribed = false
      down()
    })
    this.#sentinels =
      address.kind === 'sentinel' ? new Sentinels(address, { ...CONNECTION, retryStrategy }, () => this.#leave()) : null
    this.#watch = setInterval(() => this.#askForLife(), PING_MS)
    this.#watch.unref()
  }

  /** All connections stand, and the channel is subscribed. */
  get connected(): boolean {
    return this.#isSubscribed && [this.#commands, this.#log, this.#messages].every(({ status }) => status === 'ready')
  }

  /** The connection for commands stands, and the breaker lets them through. */
  get usable(): boolean {
    return this.#commands.status === 'ready' && !this.breaker.wouldRefuse(this.#settings.now())
  }

  /** Why it is not usable, in a few words. */
  get why(): string {
    if (this.#trouble?.startsWith(NOT_CONNECTED)) return this.#trouble
    const trouble = this.#whyUnsubscribed ?? this.#trouble
    if (trouble !== null) return trouble
    if (!this.connected) return NOT_CONNECTED
    // Its time over, an open breaker lets a probe through; that says nothing yet.
    return this.breaker.state === 'closed' ? 'redis is connected, its log of purges is being read' : SILENT
  }

  /**
   * Runs a command.
   * @param read its reply
   * @returns undefined where there was none in time, it was an error, or it was not what it should be
   */
  run<T>(command: (redis: Redis | Cluster) => Promise<unknown>, read: ReadReply<T>): Promise<T | undefined> {
    if (this.#commands.status !== 'ready' || !this.breaker.admits(this.#settings.now())) {
      this.figures.skipped++
      return Promise.resolve(undefined)
    }
    return new Promise((resolve) => {
      let open = true
      const settle = (value: T | undefined): void => {
        open = false
        clearTimeout(timer)
        resolve(value)
      }
      const expire = (): void => {
        if (!open) return
        this.figures.timeouts++
        this.#trouble = null
        this.breaker.failed(this.#settings.now())
        settle(undefined)
      }
      this.#gather()
      // Where this process was what held the reply up, it lies in the socket by now: look there before giving up.
      const timer = setTimeout(() => setImmediate(expire), this.#settings.deadlineMs)
      command(this.#commands).then(
        (reply) => {
          const value = read(reply)
          if (value === undefined) this.onUnreadable()
          this.breaker.succeeded()
          if (open) settle(value)
        },
        (error: Error) => {
          this.#onError(error)
          if (open) settle(undefined)
        },
      )
    })
  }

  /**
   * Runs a command that carries a value, unless too much is on its way already.
   * @param bytes of the value
   */
  async write<T>(
    bytes: number,
    command: (redis: Redis | Cluster) => Promise<unknown>,
    read: ReadReply<T>,
  ): Promise<T | undefined> {
    if (this.#writingBytes + bytes > MAX_WRITING_BYTES) {
      this.figures.dropped++
      return undefined
    }
    return await this.run((redis) => {
      this.#writingBytes += bytes
      // Until Redis has really taken it: the deadline ends the waiting, not the bytes in the socket.
      return command(redis).finally(() => {
        this.#writingBytes -= bytes
      })
    }, read)
  }

  /**
   * The values of some keys, at least one: in one command, but for a Cluster, where each key may lie on another node.
   * @returns one for each key, null where there is none; undefined where there was no reply in time, or it was an error
   */
  async values(names: readonly string[]): Promise<readonly (Buffer | null)[] | undefined> {
    if (names.length > 1 && !this.#commands.isCluster) {
      return await this.run((redis) => redis.mgetBuffer(...names), readValues(names.length))
    }
    const values = await Promise.all(names.map((name) => this.run((redis) => redis.getBuffer(name), readValue)))
    return names.length === 1 && values[0] === undefined ? undefined : values.map((value) => value ?? null)
  }

  /**
   * Runs a command on the shared log. No breaker is asked: no request waits for it.
   * @param read its reply
   * @param moreMs how long it may take by itself, milliseconds
   */
  log<T>(command: (redis: Redis | Cluster) => Promise<unknown>, read: ReadReply<T>, moreMs = 0): Promise<T | Fault> {
    if (this.#log.status !== 'ready') return Promise.resolve(new Fault(this.why))
    return new Promise((resolve) => {
      const expire = (): void => {
        this.figures.timeouts++
        resolve(new Fault(SILENT))
      }
      const deadlineMs = Math.max(this.#settings.deadlineMs, LOG_DEADLINE_MS) + moreMs
      const timer = setTimeout(() => setImmediate(expire), deadlineMs)
      command(this.#log).then(
        (reply) => {
          clearTimeout(timer)
          this.#trouble = null
          const value = read(reply)
          if (value === undefined) this.onUnreadable()
          resolve(value ?? new Fault('redis says what it should not'))
        },
        (error: Error) => {
          clearTimeout(timer)
          this.#countError(error)
          this.#trouble = troubleOf(error)
          resolve(new Fault(troubleOf(error), error.name === 'ReplyError' ? error.message : ''))
        },
      )
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#watch)
    this.#sentinels?.close()
    for (const client of [this.#commands, this.#log, this.#messages]) client.disconnect()
  }

  /** Counts what is not what it should be, and says so once a minute at most. */
  onUnreadable(): void {
    this.figures.unreadable++
    const nowMs = this.#settings.now()
    if (nowMs < this.#quietUntilMs) return
    this.#quietUntilMs = nowMs + QUIET_MS
    this.#settings.onUnreadable(this.figures.unreadable)
  }

  /**
   * A server that stands still, or is cut off, keeps its connections for ever, while another one may have taken over: what gives
   * no sign of life is given up.
   */
  #askForLife(): void {
    const nowMs = this.#settings.now()
    for (const node of [this.#commands, this.#log, this.#messages].flatMap(connectionsOf)) {
      const askedMs = this.#asked.get(node)
      if (askedMs === undefined) {
        if (node.status !== 'ready') continue
        const heard = (): void => void this.#asked.delete(node)
        this.#asked.set(node, nowMs)
        node.ping().then(heard, heard)
      } else if (nowMs - askedMs >= SILENCE_MS) {
        // Where this process was what held the sign up, it lies in the socket by now.
        setImmediate(() => {
          if (this.#asked.get(node) !== askedMs) return
          this.#asked.delete(node)
          this.#trouble = SILENT
          node.stream.destroy()
        })
      }
    }
  }

  /** Another master has taken over: connects anew, to that one. */
  #leave(): void {
    for (const node of [this.#commands, this.#log, this.#messages].flatMap(connectionsOf)) node.stream?.destroy()
  }

  /** What is sent in one turn of the loop goes out in one write: the writes cost more than all else. */
  #gather(): void {
    const client = this.#commands
    if (this.#gathering || client.isCluster) return
    const { stream } = client as Redis
    this.#gathering = true
    stream.cork()
    setImmediate(() => {
      this.#gathering = false
      stream.uncork()
    })
  }

  #countError(error: Error): void {
    this.figures.errors++
    const nowMs = this.#settings.now()
    if (troubleOf(error) !== FULL || nowMs < this.#quietAboutFullUntilMs) return
    this.#quietAboutFullUntilMs = nowMs + QUIET_MS
    this.#settings.onFull()
  }

  /** An error reply comes from a Redis that is there; only one that can't serve anything at all opens the breaker. */
  #onError(error: Error): void {
    this.#countError(error)
    const answered =
      error.name === 'ReplyError' && !/^(LOADING|MASTERDOWN|CLUSTERDOWN|NOAUTH|NOPERM)\b/.test(error.message)
    if (answered) {
      this.breaker.succeeded()
      return
    }
    this.#trouble = troubleOf(error)
    this.breaker.failed(this.#settings.now())
  }
}
