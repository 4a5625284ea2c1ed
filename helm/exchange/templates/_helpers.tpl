{{/* Labels of every object beside `app`, which the selectors use. */}}
{{- define "exchange.labels" -}}
app.kubernetes.io/part-of: exchange
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "exchange.secretName" -}}
{{ .Values.secrets.existingSecret | default "exchange-secrets" }}
{{- end }}

{{- define "exchange.apiImage" -}}
{{ .Values.api.image }}:{{ .Values.api.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end }}

{{- define "exchange.frontendImage" -}}
{{ .Values.frontend.image }}:{{ .Values.frontend.tag | default (printf "v%s" .Chart.AppVersion) }}
{{- end }}

{{/* A value that an installation without an existing secret must give. Arguments: the name of the value and the value. */}}
{{- define "exchange.requiredSecret" -}}
{{- required (printf "%s is not set. Either set secrets.existingSecret to a Secret of yours (kubernetes/make-secrets.sh makes one), or give %s." (first .) (first .)) (last .) -}}
{{- end }}
