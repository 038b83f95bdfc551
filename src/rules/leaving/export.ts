/**
 * A table as the configuration of an engine that stays when banyan leaves.
 */
import { placeFindings } from '../language/text.ts'
import { targetsText } from '../routing/targets.ts'
import type { Table } from '../table/table.ts'
import type { Problem } from '../values/problem.ts'
import type { Frame, Written } from './frame.ts'
import { writeGatewayApi } from './gateway-api.ts'
import { writeHaproxy } from './haproxy.ts'
import { writeNginx } from './nginx.ts'

const WRITERS = {
  nginx: writeNginx,
  haproxy: writeHaproxy,
  'gateway-api': writeGatewayApi,
} as const satisfies Record<string, (table: Table, frame: Frame) => Written>

export type Engine = keyof typeof WRITERS

/** The engines by the names of the command line. */
export const ENGINES = Object.keys(WRITERS) as Engine[]

/**
 * Writes a table for an engine.
 * @param text of the table, for the lines of routes
 * @param file its name, for comments and problems
 * @param listen where the engine is to listen, HOST:PORT
 * @returns the configuration, and a warning with its place for everything that it does not say
 */
export function exportTable(
  engine: Engine,
  table: Table,
  { text, file, listen }: { readonly text: string; readonly file: string; readonly listen: string },
): { readonly config: string; readonly problems: readonly Problem[] } {
  const lines = placeFindings(
    table.routes.map((_, at) => ({ path: ['routes', at], message: '', severity: 'warning' as const })),
    text,
    file,
  )
  const lineOf = new Map(lines.map(({ pointer, line, column }) => [pointer, `${line}:${column}`]))
  const written = WRITERS[engine](table, {
    listen,
    head: [`Written by banyan export ${engine} from ${file}. What is not said here is marked so, and was a warning.`],
    routeText: (index) => {
      const { id, percent, document, from } = table.routes[index] as Table['routes'][number]
      const share =
        percent === 0
          ? from
          : percent === 100
            ? targetsText(document.to)
            : `${percent} % ${targetsText(document.to)}, ${from}`
      return `${file}:${lineOf.get(`/routes/${index}`) ?? ''} ${id}: ${share}`
    },
  })
  return { config: written.text, problems: placeFindings(written.findings, text, file) }
}
