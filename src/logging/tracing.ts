/**
 * Starts tracing where the settings ask for it; what sends spans is loaded only then.
 */
import type { OtlpSettings } from '../settings/otlp.ts'
import type { Tracing } from './spans.ts'

/** Tracing of this process, or null where it is off. */
export async function tracingOf(
  { otlp }: { readonly otlp: OtlpSettings | null },
  log: Parameters<typeof import('./spans.ts').openTracing>[1],
): Promise<Tracing | null> {
  return otlp === null ? null : (await import('./spans.ts')).openTracing(otlp, log)
}
