{{/*
The configuration with secrets by reference: {existingSecret, key} becomes the file that it is mounted as.
Templates give text only, hence JSON in an envelope {"v": ...}.
*/}}
{{- define "lakegate.resolved" -}}
{{- if kindIs "map" . -}}
  {{- if hasKey . "existingSecret" -}}
    {{- dict "v" (dict "file" (printf "/etc/lakegate/secrets/%s/%s" .existingSecret .key)) | toJson -}}
  {{- else -}}
    {{- $out := dict -}}
    {{- range $key, $value := . -}}
      {{- $_ := set $out $key (get (include "lakegate.resolved" $value | fromJson) "v") -}}
    {{- end -}}
    {{- dict "v" $out | toJson -}}
  {{- end -}}
{{- else if kindIs "slice" . -}}
  {{- $out := list -}}
  {{- range . -}}
    {{- $out = append $out (get (include "lakegate.resolved" . | fromJson) "v") -}}
  {{- end -}}
  {{- dict "v" $out | toJson -}}
{{- else -}}
  {{- dict "v" . | toJson -}}
{{- end -}}
{{- end -}}

{{/* The names of the Secrets that the configuration refers to, one a line, with repetitions. */}}
{{- define "lakegate.secretNames" -}}
{{- if kindIs "map" . -}}
  {{- if hasKey . "existingSecret" }}
{{ .existingSecret }}
  {{- else -}}
    {{- range $key, $value := . -}}{{- include "lakegate.secretNames" $value -}}{{- end -}}
  {{- end -}}
{{- else if kindIs "slice" . -}}
  {{- range . -}}{{- include "lakegate.secretNames" . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lakegate.several" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) .Values.harvestWorkers.enabled -}}yes{{- end -}}
{{- end -}}

{{/* The values of the server group that the chart decides, below what the operator says. */}}
{{- define "lakegate.server" -}}
{{- $given := default (dict) .Values.config.server -}}
{{- $server := dict "host" "0.0.0.0" "port" 8400 "state" "/var/lib/lakegate" "drain_seconds" 5 "shutdown_seconds" 30 -}}
{{- mergeOverwrite $server $given | toJson -}}
{{- end -}}

{{- define "lakegate.port" -}}
{{- (include "lakegate.server" . | fromJson).port -}}
{{- end -}}

{{/* gateway.yaml; (dict "root" $ "workers" n or nothing): how many objects these processes transfer at once. */}}
{{- define "lakegate.configFile" -}}
{{- $config := get (include "lakegate.resolved" .root.Values.config | fromJson) "v" -}}
{{- $_ := set $config "server" (include "lakegate.server" .root | fromJson) -}}
{{- if and .root.Values.operator.enabled .root.Values.operator.clusterWide -}}
{{- $_ := set $config "sites_from" (append (default (list) $config.sites_from) "/etc/lakegate/sites/sites.yaml") -}}
{{- end -}}
{{- if hasKey . "workers" -}}
{{- $_ := set $config "harvest" (mergeOverwrite (default (dict) $config.harvest) (dict "workers" .workers)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "lakegate.grace" -}}
{{- $server := include "lakegate.server" . | fromJson -}}
{{- $needed := add (int .Values.drain.preStopSeconds) (ceil $server.drain_seconds | int) (ceil $server.shutdown_seconds | int) 5 -}}
{{- $given := .Values.drain.terminationGracePeriodSeconds -}}
{{- if and (not (kindIs "invalid" $given)) (lt (int $given) (int $needed)) -}}
{{- fail (printf "drain.terminationGracePeriodSeconds: %d s are less than the %d s that preStopSeconds, server.drain_seconds and server.shutdown_seconds need: requests would be cut off" (int $given) (int $needed)) -}}
{{- end -}}
{{- ternary $needed (int64 (default 0 $given)) (kindIs "invalid" $given) -}}
{{- end -}}

{{/* Rules that a schema cannot say. */}}
{{- define "lakegate.check" -}}
{{- $database := (.Values.config.quotas).database -}}
{{- if and (include "lakegate.several" .) (not $database) -}}
{{- fail "config.quotas.database: several replicas and harvest workers share one PostgreSQL; name it, such as {existingSecret: lakegate-database, key: uri}" -}}
{{- end -}}
{{- if and (include "lakegate.several" .) (not (.Values.config.auth).signing_key) -}}
{{- fail "config.auth.signing_key: several replicas must sign page cursors and cookies alike; name a key, such as {existingSecret: lakegate-signing, key: key}" -}}
{{- end -}}
{{- if and .Values.operator.enabled (not .Values.operator.tokenSecret) -}}
{{- fail "operator.tokenSecret: name the Secret with an administrator's API token, such as {name: lakegate-operator, key: token}" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that carries the route" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: name at least one host" -}}
{{- end -}}
{{- if and (or .Values.httpRoute.enabled .Values.ingress.enabled) (not (.Values.config.server).public_url) -}}
{{- fail "config.server.public_url: name the URL that users see; links are built from it and never from a request" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling: minReplicas is more than maxReplicas" -}}
{{- end -}}
{{- range .Values.config.sites -}}
{{- if and .storage (not (hasKey .storage "access_key")) -}}
{{- fail (printf "config.sites: %s: storage needs access_key and secret_key" .id) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" where harvests are carried by Jobs: their pods may then ask the API server, as nothing else of the gateway. */}}
{{- define "lakegate.harvestJobs" -}}
{{- if dig "harvest" "executors" "kubernetes" dict .Values.config }}true{{ end -}}
{{- end -}}
