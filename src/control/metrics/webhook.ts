/**
 * Metrics of the webhook.
 */
import type { WebhookFigures } from '../webhook/webhook.ts'
import { type Metric, metric, one, type Sample } from './format.ts'

/** What has become of its messages; nothing where there is no webhook. */
export function webhookMetrics(figures: WebhookFigures | null): Metric[] {
  if (figures === null) return []
  const { waiting, delivered, failed, dropped } = figures
  const results = Object.entries({ delivered, failed, dropped }).map(([result, count]): Sample => [{ result }, count])
  return [
    metric('banyan_webhook_waiting', 'gauge', 'Messages that wait for their delivery.', one(waiting)),
    metric(
      'banyan_webhook_messages_total',
      'counter',
      'Messages delivered and dropped, and tries that failed.',
      results,
    ),
  ]
}
