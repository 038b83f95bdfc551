/**
 * The request body for a server in the admin API: in the table, or with a lease.
 */
import { z } from 'zod'
import { compileServer } from '../../rules/language/compile.ts'
import { flawOfServerUrl } from '../../rules/patterns/origin.ts'
import { checked, name, object } from '../../rules/values/schema-blocks.ts'
import { flawOfDuration, parseDurationMs } from '../../rules/values/units.ts'

/** Whether a server with this URL may have this id: a name, or the `host:port` or Unix socket of the URL. */
export function fitsId(id: string, url: string): boolean {
  return name('id').safeParse(id).success || compileServer(url).id === id
}

/** With less, one late renewal would remove a server; with more, a dead one would stay for over a day. */
const [MIN_TTL_MS, MAX_TTL_MS] = [1_000, 86_400_000]

/** An id as in the table, `host:port`, or `unix:/path`. */
export const serverId = z
  .string()
  .regex(/^(?:[A-Za-z0-9[][A-Za-z0-9._:[\]-]{0,260}|unix:\/[!-~]{1,106})$/, 'expected an id, host:port or unix:/path')

const ttl = checked(z.string(), (text) => {
  const flaw = flawOfDuration(text)
  if (flaw !== null) return flaw
  const ms = parseDurationMs(text) as number
  return ms >= MIN_TTL_MS && ms <= MAX_TTL_MS ? null : { message: `invalid duration ${text}: must be 1s to 1d` }
})

/** The body of PUT. */
export const serverBody = object({
  url: checked(z.string(), flawOfServerUrl).describe('Origin or Unix socket of the server, as in the table.'),
  weight: z.int().min(1).max(1_000).optional().describe("Relative share of the upstream's requests. Default 1."),
  id: serverId.optional().describe('As in the path.'),
  ttl: ttl
    .optional()
    .describe('Registers the server with a lease of this duration, outside the table. Without it the table is edited.'),
})
