/**
 * Handles pipelined requests one after the other: node:http reports all that have arrived on a connection at once.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { endGently } from '../../wire/gentle-end.ts'
import type { Handler } from './node-http.ts'

/** Limit on waiting requests, on all connections: node:http reads on while nothing is written. */
const MAX_WAITING = 10_000

/** The requests of a connection. */
interface Line {
  busy: boolean
  readonly waiting: { readonly res: ServerResponse; begin(): void }[]
}

const LINE = Symbol('line')

/**
 * Makes each request wait until the previous response is complete, and begins no two of a connection in one turn of the event
 * loop. A connection whose request would exceed the limit is closed.
 */
export function onePerConnection(handle: Handler): Handler {
  let waiting = 0
  const goOn = (socket: Socket, line: Line): void => {
    if (socket.destroyed) {
      waiting -= line.waiting.splice(0).length
      return
    }
    const next = line.waiting.shift()
    if (next === undefined) {
      line.busy = false
      return
    }
    waiting--
    // It turned out to be malformed while it waited; nothing more is read.
    if (next.res.destroyed) endGently(socket)
    else next.begin()
  }
  return (req: IncomingMessage, res: ServerResponse) => {
    const socket = req.socket as Socket & { [LINE]?: Line }
    socket[LINE] ??= { busy: false, waiting: [] }
    const line = socket[LINE]
    const begin = (): void => {
      line.busy = true
      res.once('close', () => {
        if (line.waiting.length === 0) line.busy = false
        else setImmediate(goOn, socket, line)
      })
      handle(req, res)
    }
    if (!line.busy) begin()
    else if (waiting === MAX_WAITING) socket.destroy()
    else {
      waiting++
      line.waiting.push({ res, begin })
    }
  }
}
