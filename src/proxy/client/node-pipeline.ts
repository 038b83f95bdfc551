/**
 * Requests of a client of node:http one after the other: it gives out all that have come in the pipeline of a connection at once.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { endGently } from '../../wire/gentle-end.ts'
import type { Handler } from './node-http.ts'

/** Requests that wait, on all connections: node:http reads on while nothing is written. */
const MAX_WAITING = 10_000

/** The requests of a connection. */
interface Line {
  busy: boolean
  readonly waiting: { readonly res: ServerResponse; begin(): void }[]
}

const LINE = Symbol('line')

/**
 * Has each request wait until the response before is over, and begins no two of a connection in one turn of the event loop. A
 * connection is closed whose request would be one too many that waits.
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
    // It was malformed while it waited, and nothing is read behind it.
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
