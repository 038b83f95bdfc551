/**
 * What can be wrong with a Redis, in a few words.
 */

/** Where nothing is said at all. */
export const SILENT = 'redis does not answer in time'

export const NOT_CONNECTED = 'redis is not connected'

/** It ended or was killed, or something between us has cut the connection. */
export const CLOSED = `${NOT_CONNECTED}: connection closed`

/** It is renamed or switched off there. The connection is given up where it is the first one that is sent (INFO). */
export const NO_COMMAND = 'redis has no command'

export const FULL = 'redis is full'

/** The user may not do it; of a script, releases of Redis say so in words of their own. */
const DENIED = /^NOPERM\b|ACL failure in script|The user executing the script can't/

/** The connection is given up with this, in case another server has taken over. */
export const REPLICA = 'redis is a replica, and takes no writes'

/** What a server says that takes no writes, and may still be read. */
const NO_WRITES: Readonly<Record<string, string>> = {
  READONLY: REPLICA,
  MISCONF: 'redis takes no writes: it failed to save its data (MISCONF)',
  NOREPLICAS: 'redis takes no writes: too few replicas follow it (NOREPLICAS)',
}

/** What an error says, without addresses or credentials. */
export function troubleOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  if (error.message === SILENT) return SILENT
  // What ioredis calls a command that the end of its connection has met.
  if (error.name === 'MaxRetriesPerRequestError') return CLOSED
  const word = code ?? /^[A-Z]{3,}/.exec(error.message)?.[0] ?? error.name
  if (error.message.includes('OOM command not allowed')) return FULL
  if (error.name === 'ReplyError' && DENIED.test(error.message)) return 'redis says NOPERM'
  const [refusal = ''] = /\b(?:READONLY|MISCONF|NOREPLICAS)\b/.exec(error.message) ?? []
  if (error.name === 'ReplyError' && refusal in NO_WRITES) return NO_WRITES[refusal] as string
  const unknown = /^ERR unknown (?:redis )?command(?: '(\w+)')?/i.exec(error.message)
  if (unknown !== null) return `${NO_COMMAND} ${unknown[1]?.toUpperCase() ?? 'that a script needs'}`
  if (error.name === 'ReplyError' && !/^(NOAUTH|WRONGPASS)/.test(word)) return `redis says ${word}`
  // The words of ioredis for a command that the end of its connection has met.
  if (word === 'Error') return /closed|writeable/.test(error.message) ? CLOSED : NOT_CONNECTED
  return `${NOT_CONNECTED}: ${word}`
}

/** Why a command on the shared log has come to nothing. */
export class Fault {
  /** In a few words, without addresses. */
  readonly message: string
  readonly #reply: string

  /** @param reply the text of an error reply, where that is what it was */
  constructor(message: string, reply = '') {
    this.message = message
    this.#reply = reply
  }

  /** What lies under a key is of another type than the command is for. Of a script, Redis 6 says so at the end. */
  get isOtherType(): boolean {
    return /\bWRONGTYPE\b/.test(this.#reply)
  }

  /** There is no room left. */
  get isFull(): boolean {
    return /\bOOM\b/.test(this.#reply)
  }

  /** The server takes no writes: it is a replica, can't save its data, or has too few replicas. */
  get isReadOnly(): boolean {
    return /\b(READONLY|MISCONF|NOREPLICAS)\b/.test(this.#reply)
  }

  /** The user may not do it. */
  get isDenied(): boolean {
    return DENIED.test(this.#reply)
  }

  /** The server does not know what the script's first line asks for. */
  get isOfScript(): boolean {
    return /compiling script|unexpected symbol|flag in shebang|Unexpected engine/i.test(this.#reply)
  }
}
